package store

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// unasked is the PTTL of a record that was read without it.
const unasked = noTTL

// Peek is [Store.Read] without what is left of the record: a GET, or while many reads
// are on their way to the only node of a deployment an MGET that is shared with other
// readers. There a record of a type other than a string looks like none. Where there
// are several nodes it is a Read.
func (s *Store) Peek(ctx context.Context, key string) (Record, error) {
	if s.closed.Load() {
		return Record{}, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	return s.peeks.read(ctx, key)
}

// PeekTogether is [Store.ReadTogether] without what is left of the records.
func (s *Store) PeekTogether(ctx context.Context, keys ...string) ([]Record, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.peeks.readTogether(ctx, keys)
}

// PeekMany is [Store.ReadMany] without what is left of the records: one MGET on the only
// node of a deployment. It is not shared with other readers, and what it returns is not
// to be released.
func (s *Store) PeekMany(ctx context.Context, keys []string) ([]Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	records, _, err := s.peekMany(ctx, keys)
	return records, err
}

// rawCall is one GET or MGET, whose reply stays in one piece.
type rawCall struct {
	args  []any
	reply *reply
	usual *atomic.Int64 // how large such replies are of late
	one   [2]any        // args of a single key
}

func (*rawCall) name() string { return "read" }

func (*rawCall) own() {}

func (c *rawCall) keyOf() string { return c.args[1].(string) }

func (c *rawCall) run(ctx context.Context, client redis.UniversalClient) error {
	c.reply = newReply(c.usual)
	return client.Process(ctx, redis.NewRawWriteToCmd(ctx, c.reply, c.args...))
}

// peekAlone is a peek with a command of its own.
func (s *Store) peekAlone(ctx context.Context, key string) (Record, error) {
	if !s.locate.single() {
		return s.readAlone(ctx, key)
	}
	c := &rawCall{one: [2]any{"get", key}, usual: &s.usualOne}
	c.args = c.one[:]
	err := s.send(ctx, s.reads, c)
	if err == nil {
		var rec Record
		if rec, err = c.reply.record(); err == nil {
			return rec, nil
		}
	}
	if s.final(ctx, err) {
		return Record{}, err
	}
	return s.readAlone(ctx, key)
}

// peekMany is a Peek of several keys of the only node, in one MGET.
func (s *Store) peekMany(ctx context.Context, keys []string) ([]Record, *reply, error) {
	if !s.locate.single() || s.noMGet.Load() {
		return s.readMany(ctx, keys)
	}
	c := &rawCall{args: make([]any, 1+len(keys)), usual: &s.usualMany}
	c.args[0] = "mget"
	for i, key := range keys {
		c.args[1+i] = key
	}
	err := s.mget(ctx, c)
	if err == nil {
		var records []Record
		if records, err = c.reply.records(len(keys)); err == nil {
			return records, c.reply, nil
		}
	}
	if s.final(ctx, err) {
		return nil, nil, err
	}
	return s.readMany(ctx, keys)
}

// mget sends c. A server that refuses the command is not asked again.
func (s *Store) mget(ctx context.Context, c *rawCall) error {
	if err := s.send(ctx, s.reads, c); err != nil {
		return err
	}
	err := c.reply.refusal()
	if err != nil && refuses(err) {
		s.noMGet.Store(true)
	}
	return err
}

// final reports whether err is the answer. After any other one the records are read
// by an ordinary pipeline: go-redis does not repeat a command whose reply is taken
// raw, on a connection that turns out to be dead for one.
func (s *Store) final(ctx context.Context, err error) bool {
	return errors.Is(err, ErrOpen) || errors.Is(err, ErrBudget) || errors.Is(err, ErrClosed) || Ended(ctx) != nil
}

// refuses reports whether err says that the server does not take this command from
// this user at all.
func refuses(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command")
}
