package store

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

// send runs c within budget and returns when there is an answer, the budget has
// run out or the caller's time is over, or at once with ErrOpen. After an error c
// must not be touched.
func (s *Store) send(ctx context.Context, budget time.Duration, c call) (err error) {
	defer contain(&err)
	if s.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.guarded(ctx, c, func() error { return s.through(ctx, budget, c) })
}

// through runs c on this goroutine, or on one that this one may leave.
func (s *Store) through(ctx context.Context, budget time.Duration, c call) error {
	inner, done := s.within(ctx, budget)
	defer done()
	var err error
	if s.inline {
		err = c.run(inner, s.client)
	} else {
		err = s.detach(ctx, inner, c)
	}
	if err != nil {
		return s.judgeBudget(budget, explain(ctx, Ended(inner) != nil, budget, c.name(), err))
	}
	return nil
}

// detach runs c on a goroutine of the store's, which the caller leaves in time.
func (s *Store) detach(ctx, inner context.Context, c call) error {
	c.own()
	e := &errand{ctx: inner, client: s.client, call: c, done: make(chan error, 1)}
	if !s.detached.send(e) {
		return ErrClosed
	}
	select {
	case err := <-e.done:
		return err
	case <-inner.Done():
	case <-ctx.Done():
	}
	select {
	case err := <-e.done: // both were ready: an answer is an answer
		return err
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return inner.Err()
}
