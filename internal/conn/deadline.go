package conn

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// deadlines gives operations contexts that end when their budget is over, without
// a timer for each: those that start within a sixteenth of the budget share one.
// Their time is thus up to a sixteenth longer than the budget.
type deadlines struct{ held atomic.Pointer[shared] }

// shared is a context for all operations with a budget that start before until.
type shared struct {
	context.Context
	cancel context.CancelFunc // the timer does it; held for nobody
	budget time.Duration
	until  time.Time
}

// until returns a context with ctx's values that ends after about budget, or ctx
// itself if that ends sooner. Cancelling ctx does not end it: go-redis would not
// notice while it waits for a reply, and the budget is short.
func (d *deadlines) until(ctx context.Context, budget time.Duration) context.Context {
	now := time.Now()
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(now) <= budget {
		return ctx
	}
	held := d.held.Load()
	if held == nil || held.budget != budget || !now.Before(held.until) {
		slack := budget / 16
		held = &shared{budget: budget, until: now.Add(slack)}
		held.Context, held.cancel = context.WithDeadline(context.Background(), now.Add(budget+slack))
		d.held.Store(held)
	}
	return &budgeted{Context: held.Context, values: ctx}
}

// budgeted is the shared context, with the values of the operation's own.
type budgeted struct {
	context.Context
	values context.Context
}

func (b *budgeted) Value(key any) any { return b.values.Value(key) }

// within returns a context with ctx's values that ends after about budget. done is to be
// called when the operation is over.
func (c *Client) within(ctx context.Context, budget time.Duration) (inner context.Context, done context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	switch {
	case budget == c.reads:
		return c.readEnds.until(ctx, budget), func() {}
	case bounded && budget < c.reads && budget < time.Until(deadline): // cut for this caller alone
		own, done := context.WithTimeout(context.Background(), budget)
		return &budgeted{Context: own, values: ctx}, done
	}
	return c.scriptEnds.until(ctx, budget), func() {}
}

// readBudget is how long a read for ctx's caller may take: the Client's budget, but at
// most two thirds of what the caller has left. Else one whose deadline is shorter than
// the budget would have no time to load after it has waited for a Redis that does not
// answer, and would never call its loader in an outage.
func (c *Client) readBudget(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return c.reads
	}
	return min(c.reads, max(time.Until(deadline)*2/3, 0))
}

// hurries reports whether a read for ctx's caller has so little time that its failure
// says nothing against Redis.
func (c *Client) hurries(ctx context.Context) bool { return c.readBudget(ctx) < c.reads/2 }

// hurriedError is the failure of a read whose budget was cut to less than half of the
// Client's, since its caller had so little time: that it had no answer by then says
// nothing against Redis.
type hurriedError struct{ error }

func (e hurriedError) Unwrap() error { return e.error }

func hurried(err error) bool {
	_, short := errors.AsType[hurriedError](err)
	return short
}

// judgeBudget marks an error of a read whose budget was too short to blame Redis.
func (c *Client) judgeBudget(budget time.Duration, err error) error {
	if budget < c.reads/2 && errors.Is(err, ErrBudget) {
		return hurriedError{err}
	}
	return err
}
