package store

import (
	"context"
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
