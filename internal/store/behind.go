package store

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// WorkBudget bounds the operations of write-behind workers, which carry
// whole batches and which no request waits for.
const WorkBudget = 2 * time.Second

var (
	//go:embed lua/put.lua
	putLua string

	putScript = sentOnce(newScript("put", putLua))
)

// ErrForeign is wrapped by the error of a put or retry that found bytes or a type
// under the record's key that are not the cache's, or a newer program's record. Nothing
// was changed.
var ErrForeign = errors.New("a foreign record is in the way")

// Partition names the Redis keys of one write-behind partition. All of them must
// have the same hash tag: the scripts change several of them at once.
type Partition struct {
	// Records is what the keys of records begin with; the user's key follows.
	Records string
	// Dirty is a hash of the keys that are not yet in the sink, with the version
	// of their latest value.
	Dirty string
	// Tickets is a stream with one entry per dirty key: who has the ticket writes
	// the key. It carries no values, so a key that is put ten times is written
	// once, with the latest.
	Tickets string
	// Clock is a string: the last version given.
	Clock string
	// Dead is the stream of dead letters.
	Dead string
	// Doomed is a hash of the keys whose latest value is a dead letter, with its
	// version. Only such a letter may be retried.
	Doomed string
}

// Record returns the key of the user's key's record.
func (p *Partition) Record(key string) string { return p.Records + key }

// Put are the arguments of [Store.Put].
type Put struct {
	Partition *Partition
	// Key is the user's.
	Key string
	// Body is the envelope's, sealed for the record's key and version 0. It is
	// sent as it is and not kept.
	Body []byte
	// MaxDirty is how many dirty keys the partition may have; a key that is dirty
	// already is never refused.
	MaxDirty int
	// Notice is published if the value was stored.
	Notice Notice
}

// Put makes a value the newest of its key and the key dirty. It returns the
// version it was given, which is higher than all that the key ever had. full
// says that nothing was stored because the partition has too many dirty keys.
// An error that Is [ErrForeign] says the same of a record that is not ours.
//
// A put over a write intent takes the place of the intent, whose end will leave
// the record alone; which of the two the sink has last is then unknown, so ack
// will remove the record instead of keeping it.
//
// One round trip. The client never sends it twice: a late copy would win over a
// newer value. After another error it may still take effect.
func (s *Store) Put(ctx context.Context, put Put) (version uint64, full bool, err error) {
	p := put.Partition
	reply, err := s.evalKeys(ctx, putScript,
		[]string{p.Record(put.Key), p.Dirty, p.Tickets, p.Clock, p.Doomed},
		put.Key, put.Body, put.MaxDirty, put.Notice.Channel, put.Notice.Message)
	if err != nil {
		return 0, false, err
	}
	switch answer := reply.(type) {
	case int64:
		switch answer {
		case -1:
			return 0, true, nil
		case -2:
			return 0, false, ErrForeign
		}
	case string:
		if version, err = strconv.ParseUint(answer, 10, 64); err == nil && version > 0 {
			return version, false, nil
		}
	}
	return 0, false, &AnswerError{Script: putScript.name, Answer: reply}
}

// evalshaKeys is the whole command that runs s on several keys of one slot.
func (s *script) evalshaKeys(keys []string, args []any) []any {
	all := make([]any, keyAt, keyAt+len(keys)+len(args))
	all[0], all[1], all[2] = "evalsha", s.digest, len(keys)
	for _, key := range keys {
		all = append(all, key)
	}
	return append(all, args...)
}

// evalKeys runs sc on keys and returns its answer, within the script budget.
func (s *Store) evalKeys(ctx context.Context, sc *script, keys []string, args ...any) (any, error) {
	c := &scriptCall{script: sc, args: sc.evalshaKeys(keys, args)}
	if err := s.send(ctx, s.scripts, c); err != nil {
		return nil, err
	}
	return s.answerIn(c.reply), nil
}

// evalBatch runs sc once per element of args, each the whole command, in one
// pipeline. Reply i is good if error i is nil.
func (s *Store) evalBatch(ctx context.Context, sc *script, args [][]any) ([]any, []error) {
	if len(args) == 0 {
		return nil, nil
	}
	start := time.Now()
	orders := make([]order, len(args))
	for i := range args {
		orders[i] = order{script: sc, args: args[i]}
	}
	c := &batchCall{label: sc.name, store: s, orders: orders}
	if err := s.send(ctx, WorkBudget, c); err != nil {
		errs := make([]error, len(args))
		for i := range errs {
			errs[i] = err
		}
		return make([]any, len(args)), errs
	}
	explainAll(ctx, start, WorkBudget, sc.name, c.errs)
	return c.replies, c.errs
}

// pipeCall is a pipeline of commands, each of which keeps its own outcome. Their
// arguments are strings and numbers.
type pipeCall struct {
	label string
	cmds  []redis.Cmder
}

func (c *pipeCall) name() string { return c.label }

func (*pipeCall) own() {}

// run fails only if nothing was sent: errors are the commands'.
func (c *pipeCall) run(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	for _, cmd := range c.cmds {
		_ = pipe.Process(ctx, cmd) // queues only
	}
	_, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	for _, cmd := range c.cmds {
		if cmd.Err() != nil {
			return nil
		}
	}
	return err // a hook has sent nothing
}

// pipe sends cmds and returns the error of each. redis.Nil counts as none.
func (s *Store) pipe(ctx context.Context, label string, cmds []redis.Cmder) []error {
	errs := make([]error, len(cmds))
	if len(cmds) == 0 {
		return errs
	}
	start := time.Now()
	if err := s.send(ctx, WorkBudget, &pipeCall{label: label, cmds: cmds}); err != nil {
		for i := range errs {
			errs[i] = err // cmds may still be in use
		}
		return errs
	}
	for i, cmd := range cmds {
		if err := cmd.Err(); !errors.Is(err, redis.Nil) {
			errs[i] = err
		}
	}
	explainAll(ctx, start, WorkBudget, label, errs)
	return errs
}

// keyed tells a cluster client where the key is in cmd. See route.
func keyed[C redis.Cmder](cmd C, at int8) C {
	cmd.SetFirstKeyPos(at)
	cmd.SetStepCount(1)
	return cmd
}
