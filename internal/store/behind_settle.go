package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/ack.lua
	ackLua string
	//go:embed lua/dead.lua
	deadLua string

	ackScript  = newScript("ack", ackLua)
	deadScript = newScript("dead", deadLua)
)

// AckAnswer is what became of an [Ack].
type AckAnswer int8

const (
	// AckClean: the key is not dirty any more.
	AckClean AckAnswer = 1
	// AckNewer: the key was put again meanwhile, and is due.
	AckNewer AckAnswer = 2
	// AckNothing: the key is not dirty any more, and there was no value of it.
	AckNothing AckAnswer = 3
)

// Ack says that the sink has this version of a key, whoever has claimed it since.
type Ack struct {
	Claimed
	// TTL is how long the value stays readable as an ordinary entry; below 1 ms it is
	// removed. Soft is how much of that it is fresh.
	TTL, Soft time.Duration
	// Notice is published if the record was changed. All of one partition have one channel.
	Notice Notice

	Answer AckAnswer // unless there is Err
	Err    error
}

// ackKeys is how many keys a script acknowledges: it keeps the server from everything else.
const ackKeys = 64

// Ack makes keys clean, if this is their latest version, and their records ordinary entries
// without a version. A record of an older version is removed, and one of a key that
// somebody else has claimed since. It is safe to repeat. It is
// one script for each 64 keys of a partition that follow one another.
func (s *Store) Ack(ctx context.Context, acks []Ack) {
	ops := conn.NewOps(ackScript.Name, 1+len(acks)/ackKeys)
	var groups [][]Ack
	for rest := acks; len(rest) > 0; {
		n, p := 1, rest[0].Partition
		for n < min(len(rest), ackKeys) && rest[n].Partition == p {
			n++
		}
		keys := append(make([]string, 0, 3+n), p.Dirty, p.Schedule, p.Tries)
		args := append(make([]any, 0, 1+7*n), rest[0].Notice.Channel)
		for i := range rest[:n] {
			a := &rest[i]
			keys = append(keys, p.Record(a.Key))
			args = append(args, a.Key, a.Claim, a.Version, millis(a.TTL, 0), a.Soft.Milliseconds(), envelope.NewToken().String(), a.Notice.Message)
		}
		ops.Add(ackScript.OnKeys(keys, args...))
		groups, rest = append(groups, rest[:n]), rest[n:]
	}
	s.conn.DoWithin(ctx, WorkBudget, ops)
	for i, group := range groups {
		reply, err := s.reply(ops, i)
		answers, _ := reply.([]any)
		if err == nil && len(answers) != len(group) {
			err = &conn.AnswerError{Script: ackScript.Name, Answer: reply}
		}
		for k := range group {
			if group[k].Err = err; err == nil {
				n, _ := answers[k].(int64)
				group[k].Answer = AckAnswer(n)
			}
		}
	}
}

// DeadAnswer is what became of a [Dead].
type DeadAnswer int8

const (
	// DeadLost: the claim was somebody else's by then, and nothing was done.
	DeadLost DeadAnswer = 0
	// DeadLetter: it is a dead letter.
	DeadLetter DeadAnswer = 1
	// DeadNewer: the key was put again meanwhile, and is due.
	DeadNewer DeadAnswer = 2
)

// Dead gives up a value. One that is not in its record any more leaves a letter without.
type Dead struct {
	Claimed
	// Reason is kept with it.
	Reason string
	// Notice is published if it became a letter.
	Notice Notice

	Answer DeadAnswer // unless there is Err
	Err    error
}

// Dead makes values dead letters and removes their records: readers go to the system of
// record.
func (s *Store) Dead(ctx context.Context, all []Dead) {
	ops := conn.NewOps(deadScript.Name, len(all))
	for i := range all {
		d, p := &all[i], all[i].Partition
		ops.Add(deadScript.OnKeys(
			[]string{p.Record(d.Key), p.Dirty, p.Schedule, p.Tries, p.Letters, p.letter(d.Key), p.Reasons},
			d.Key, d.Claim, d.Version, d.Reason, d.Notice.Channel, d.Notice.Message))
	}
	s.conn.DoWithin(ctx, WorkBudget, ops)
	for i := range all {
		n, err := s.number(deadScript, ops, i, 0, 2)
		all[i].Answer, all[i].Err = DeadAnswer(n), err
	}
}
