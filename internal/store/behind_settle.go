package store

import (
	"context"
	_ "embed"
	"strconv"
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

// Settlement ends a ticket.
type Settlement struct {
	Partition *Partition
	// Ticket and Key are what [Store.ReadTickets] or [Store.Claim] gave.
	Ticket, Key string
	// Version is that of the value which the sink has now, or cannot take.
	Version uint64
	// TTL is how long an acknowledged value stays readable as an ordinary entry;
	// below 1 ms it is removed. Soft is how much of that it is fresh. For
	// [Store.Ack].
	TTL, Soft time.Duration
	// Reason is kept in the dead letter. For [Store.Bury].
	Reason string
	// Notice is published if the record was changed.
	Notice Notice
}

// Settled is what became of a ticket.
type Settled int8

const (
	// SettledBefore: another worker had ended the ticket.
	SettledBefore Settled = 0
	// SettledClean: acknowledged or moved; the key is not dirty any more.
	SettledClean Settled = 1
	// SettledNewer: the key was put again meanwhile and has a new ticket.
	SettledNewer Settled = 2
	// SettledIdle: the key was not dirty, and nothing was moved. Of [Store.Bury].
	SettledIdle Settled = 3
)

// Ack says of each settlement that the sink has this version of its key. If it
// is the latest the key is clean, and its record becomes an ordinary entry
// without a version. It is one pipeline, and safe to repeat.
//
// Answer i belongs to settlement i and is good if error i is nil. A ticket whose
// Ack failed is delivered again.
func (s *Store) Ack(ctx context.Context, group string, all []Settlement) ([]Settled, []error) {
	ops := make([]conn.Op, len(all))
	for i := range all {
		a, p := &all[i], all[i].Partition
		ops[i] = ackScript.OnKeys(
			[]string{p.Record(a.Key), p.Dirty, p.Tickets},
			group, a.Ticket, a.Key, decimal(a.Version), millis(a.TTL, 0), a.Soft.Milliseconds(),
			envelope.NewToken().String(), a.Notice.Channel, a.Notice.Message)
	}
	return s.settle(ctx, ackScript, ops, SettledNewer)
}

// Bury moves the value of each settlement to the dead letters, if it is still
// the latest of its key, and removes the record: readers go to the system of
// record. A value that is no longer in its record leaves a letter without one.
// It is one pipeline, and safe to repeat. Answers and errors are as of Ack.
func (s *Store) Bury(ctx context.Context, group string, all []Settlement) ([]Settled, []error) {
	ops := make([]conn.Op, len(all))
	for i := range all {
		d, p := &all[i], all[i].Partition
		ops[i] = deadScript.OnKeys(
			[]string{p.Record(d.Key), p.Dirty, p.Tickets, p.Dead, p.Doomed},
			group, d.Ticket, d.Key, decimal(d.Version), d.Reason,
			d.Notice.Channel, d.Notice.Message)
	}
	return s.settle(ctx, deadScript, ops, SettledIdle)
}

// settle runs sc, which answers a number up to highest.
func (s *Store) settle(ctx context.Context, sc *conn.Script, all []conn.Op, highest Settled) ([]Settled, []error) {
	replies, errs := s.evalBatch(ctx, sc, all)
	answers := make([]Settled, len(all))
	for i, reply := range replies {
		if errs[i] != nil {
			continue
		}
		n, ok := reply.(int64)
		if !ok || n < 0 || n > int64(highest) {
			errs[i] = &conn.AnswerError{Script: sc.Name, Answer: reply}
			continue
		}
		answers[i] = Settled(n)
	}
	return answers, errs
}

// decimal is v as the dirty hash spells it.
func decimal(v uint64) string { return strconv.FormatUint(v, 10) }
