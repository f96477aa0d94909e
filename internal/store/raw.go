package store

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

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

// getRaw is a GET of a key of the only node, whose clock is held.
func (s *Store) getRaw(ctx context.Context, key string, held *sample) (Record, error) {
	c := &rawCall{one: [2]any{"get", key}, usual: &s.usualOne}
	c.args = c.one[:]
	err := s.send(ctx, s.readBudget(ctx), c)
	if err == nil {
		var rec Record
		if rec, err = c.reply.record(); err == nil {
			rec.clock = held
			return rec, nil
		}
	}
	if s.final(ctx, err) {
		return Record{}, err
	}
	records, err := s.pipelined(ctx, []string{key}, question{node: s.guards.only})
	if err != nil {
		return Record{}, oneError(err)
	}
	return records[0], nil
}

// mget is an MGET of keys of the only node, n, whose clock is held. A server that
// refuses the command is not asked again for a while.
func (s *Store) mget(ctx context.Context, keys []string, n *node, held *sample) ([]Record, *reply, error) {
	c := &rawCall{args: make([]any, 1+len(keys)), usual: &s.usualMany}
	c.args[0] = "mget"
	for i, key := range keys {
		c.args[1+i] = key
	}
	err := s.send(ctx, s.readBudget(ctx), c)
	if err == nil {
		var records []Record
		if records, err = c.reply.records(len(keys)); err == nil {
			for i := range records {
				records[i].clock = held
			}
			return records, c.reply, nil
		}
		if refuses(err) {
			n.noMGet.learn()
		}
	}
	if s.final(ctx, err) {
		return nil, nil, err
	}
	records, err := s.pipelined(ctx, keys, question{node: n})
	return records, nil, err
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
