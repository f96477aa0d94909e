package store

import (
	"context"
	_ "embed"
	"errors"
	"strconv"

	"github.com/larder-go/cache/internal/conn"
)

var (
	//go:embed lua/put.lua
	putLua string

	putScript = newScript("put", putLua).SentOnce()
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
	return 0, false, &conn.AnswerError{Script: putScript.Name, Answer: reply}
}

// evalKeys runs sc on keys of one slot and returns its answer.
func (s *Store) evalKeys(ctx context.Context, sc *conn.Script, keys []string, args ...any) (any, error) {
	ops := conn.NewOps(sc.Name, 1)
	ops.Add(sc.OnKeys(keys, args...))
	s.conn.Do(ctx, ops)
	return s.reply(ops, 0)
}

// evalBatch sends ops of one script within the [WorkBudget]. Reply i is good if error i is
// nil.
func (s *Store) evalBatch(ctx context.Context, sc *conn.Script, all []conn.Op) ([]any, []error) {
	ops := conn.NewOps(sc.Name, len(all))
	for _, op := range all {
		ops.Add(op)
	}
	s.conn.DoWithin(ctx, WorkBudget, ops)
	replies, errs := make([]any, len(all)), make([]error, len(all))
	for i := range all {
		replies[i], errs[i] = s.reply(ops, i)
	}
	return replies, errs
}
