package conn

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
	get   [2]any        // args of a single key
	one   [1]Value      // room for what it finds
}

func (*rawCall) name() string { return "read" }

func (*rawCall) own() {}

func (r *rawCall) key() string { return r.args[1].(string) }

func (r *rawCall) run(ctx context.Context, client redis.UniversalClient) error {
	r.reply = newReply(r.usual)
	return client.Process(ctx, redis.NewRawWriteToCmd(ctx, r.reply, r.args...))
}

// values are what the reply says of n keys.
func (r *rawCall) values(n int) ([]Value, error) {
	if n > 1 {
		values := make([]Value, n)
		return values, r.reply.mget(values)
	}
	return r.one[:], r.reply.get(&r.one[0])
}

// readRaw is a GET or MGET of keys of the only node, n, whose clock is held. A server that
// refuses MGET is not asked again for a while.
func (c *Client) readRaw(ctx context.Context, keys []string, n *Node, held *Sample) []Value {
	r := &rawCall{usual: &c.usualOne}
	if r.args = r.get[:]; len(keys) > 1 {
		r.args, r.usual = make([]any, 1+len(keys)), &c.usualMany
		r.args[0] = "mget"
	} else {
		r.args[0] = "get"
	}
	for i, key := range keys {
		r.args[1+i] = key
	}
	err := c.send(ctx, c.readBudget(ctx), r)
	if err == nil {
		var values []Value
		if values, err = r.values(len(keys)); err == nil {
			for i := range values {
				values[i].Clock = held
			}
			return values
		}
		if len(keys) > 1 && refuses(err) {
			n.Learn(NoMGet)
		}
	}
	if final(ctx, err) {
		return unread(len(keys), err)
	}
	return c.pipelined(ctx, keys, sampling{})
}

// final reports whether err is the answer. After any other one the keys are read
// by an ordinary pipeline: go-redis does not repeat a command whose reply is taken
// raw, on a connection that turns out to be dead for one.
func final(ctx context.Context, err error) bool {
	return errors.Is(err, ErrOpen) || errors.Is(err, ErrBudget) || errors.Is(err, ErrClosed) || Ended(ctx) != nil
}

// refuses reports whether err says that the server does not take this command from
// this user at all.
func refuses(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command")
}
