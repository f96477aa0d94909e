package behind

import (
	"context"
	"errors"

	"github.com/larder-go/cache/internal/store"
)

// settle acknowledges what is written, gives up what is to be given up, and has the rest
// tried again. It is not cancelled with ctx: what is written is written.
func (e *Engine) settle(ctx context.Context, items []*item) {
	var acks []store.Ack
	var retries []store.Retry
	var dead []store.Dead
	var victims []*item // of dead, in its order
	for _, it := range items {
		switch {
		case it.err == nil, it.alone && it.judged == HadNewer:
			a := store.Ack{Claimed: it.Claimed, TTL: it.ttl, Soft: it.soft, Notice: e.o.notice(it.Key)}
			if it.err != nil {
				a.TTL = 0
			}
			acks = append(acks, a)
			e.failures.forget(it.Key)
		case errors.Is(it.err, errUntried), ctx.Err() != nil: // that the engine was closed is no failure
			retries = append(retries, store.Retry{Claimed: it.Claimed})
		default:
			r, last := e.failure(it)
			if !last {
				retries = append(retries, r)
				continue
			}
			dead = append(dead, store.Dead{Claimed: it.Claimed, Reason: e.o.hide(it.Key, it.err.Error()), Notice: e.o.notice(it.Key)})
			victims = append(victims, it)
		}
	}
	ctx = context.WithoutCancel(ctx)
	e.store.Ack(ctx, acks)
	e.store.Retry(ctx, retries)
	e.store.Dead(ctx, dead)
	e.settled(ctx, acks, retries)
	e.buried(ctx, dead, victims)
}

// failure notes one of a value, and returns how it is to be tried again, or that this was
// the last try. One counts only if the sink has taken something since the last with the
// key, or was not asked: where nobody gets on the value is not to blame.
func (e *Engine) failure(it *item) (r store.Retry, last bool) {
	failed, progress := e.failures.add(it.Key, it.since, e.taken.Load())
	counts := it.alone && (progress || it.judged == Unreadable)
	last = it.alone && it.judged == Permanent || counts && triesWith(it.tries, it.Version)+1 >= e.o.MaxAttempts
	return store.Retry{Claimed: it.Claimed, Delay: e.o.retryAfter(it.Key, failed), Counts: counts}, last
}

// settled tells of what Redis did not take, which is due again when the lease is over.
func (e *Engine) settled(ctx context.Context, acks []store.Ack, retries []store.Retry) {
	errs := make([]error, 0, len(acks))
	for i := range acks {
		errs = append(errs, acks[i].Err)
	}
	e.failed(ctx, "acknowledge", errors.Join(errs...))
	errs = errs[:0]
	for i := range retries {
		errs = append(errs, retries[i].Err)
	}
	e.failed(ctx, "put off", errors.Join(errs...))
}

// buried tells of what was given up.
func (e *Engine) buried(ctx context.Context, dead []store.Dead, victims []*item) {
	for i, it := range victims {
		e.failed(ctx, "move to the dead letters", dead[i].Err)
		if dead[i].Err != nil || dead[i].Answer != store.DeadLetter {
			continue
		}
		e.failures.forget(it.Key)
		if e.o.Hooks.DeadLetter != nil {
			e.o.Hooks.DeadLetter(it.Key, it.mutation.Version, it.err)
		}
	}
}
