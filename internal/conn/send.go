package conn

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// call is one operation: what it sends, and where its replies go. A call that
// was abandoned by its caller is never looked at again by anybody but the
// goroutine that runs it.
type call interface {
	// run sends the commands and returns nil if there is an answer to each.
	run(ctx context.Context, client redis.UniversalClient) error
	// own copies whatever the caller may change after it has left.
	own()
	// name is what errors call the operation.
	name() string
}

// send runs what within budget and returns when there is an answer, the budget has
// run out or the caller's time is over, or at once with ErrOpen. After an error what
// must not be touched.
func (c *Client) send(ctx context.Context, budget time.Duration, what call) (err error) {
	defer contain(&err)
	if c.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.withBreaker(ctx, budget, what)
}

// through runs what on this goroutine, or on one that this one may leave.
func (c *Client) through(ctx context.Context, budget time.Duration, what call) error {
	inner, done := c.within(ctx, budget)
	defer done()
	var err error
	if c.inline {
		err = what.run(inner, c.redis)
	} else {
		err = c.detach(ctx, inner, what)
	}
	if err != nil {
		return c.judgeBudget(budget, c.explain(ctx, Ended(inner) != nil, budget, what.name(), err))
	}
	return nil
}

// detach runs what on a goroutine of c's, which the caller leaves in time.
func (c *Client) detach(ctx, inner context.Context, what call) error {
	what.own()
	j := &job{ctx: inner, client: c.redis, call: what, done: make(chan error, 1)}
	if !c.workers.send(j) {
		return ErrClosed
	}
	select {
	case err := <-j.done:
		return err
	case <-inner.Done():
	case <-ctx.Done():
	}
	select {
	case err := <-j.done: // both were ready: an answer is an answer
		return err
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return inner.Err()
}
