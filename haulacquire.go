package cache

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
)

// acquire asks for all leases at once: won are those that were granted, lost those
// that load without one. The others leave the haul.
func (h *haul[T]) acquire(ctx context.Context, trips []*trip[T]) (won, lost []*trip[T]) {
	if len(trips) == 0 {
		return nil, nil
	}
	c := h.cache
	ctx, stop := whileWanted(ctx, trips)
	defer stop()
	grants, proofs, captured, errs := h.ask(ctx, trips)
	for i, t := range trips {
		grant, err := grants[i], errs[i]
		t.held = err != nil && !store.NotSent(err) || grant.Answer == store.Granted || grant.Answer == store.GrantedOver
		if t.problem = err; err != nil {
			c.tel.redisFailed(opLoad, err)
			lost = append(lost, t)
			continue
		}
		tokens := pick(t.tags, captured.tags, captured.tokens)
		t.grantedAt, t.stamp = grant.Now, stampOf(captured.clear, t.tags, tokens)
		switch grant.Answer {
		case store.Granted, store.GrantedOver:
			won = append(won, t)
		case store.Held:
			switch {
			case t.receive(ctx, grant.Record, t.tags, tokens, proofs[i]):
			case t.mayAsk():
				h.leave(t, t.acquire)
			default:
				lost = append(lost, t)
			}
		case store.Busy:
			h.leave(t, func(ctx context.Context) {
				if t.waitFor(ctx, grant.Left) {
					t.acquire(ctx)
				}
			})
		case store.BackingOff:
			t.land(landing[T]{outcome: loadBackoff, backoff: max(grant.Left, time.Millisecond)})
		default: // an open write, or a foreign record
			t.seen.State = record.Bypassed
			lost = append(lost, t)
		}
	}
	return won, lost
}

// captures are the tokens that the entries of a haul depend on.
type captures struct {
	clear  envelope.Token
	tags   []tagRef
	tokens []envelope.Token
}

// ask sends one acquire for each trip, and captures the tokens of all their tags.
func (h *haul[T]) ask(ctx context.Context, trips []*trip[T]) (grants []store.Grant, proofs []int, got captures, errs []error) {
	c := h.cache
	keys, attempts, proofs := make([]string, len(trips)), make([]store.Acquire, len(trips)), make([]int, len(trips))
	for i, t := range trips {
		t.token, t.asking, t.mark = envelope.NewToken(), c.moment(t.key), c.pending.mark()
		t.asks++
		keys[i], proofs[i] = t.redisKey, c.flights.prove(t.flight)
		attempts[i] = store.Acquire{
			Token: t.token, Lease: leaseTime, Retain: leaseRetain,
			Seen: t.seen.Header.CID, Invalid: t.seen.State == record.Invalid,
		}
	}
	got.tags = allTags(trips)
	capture := captureKeys(got.tags, trips[0].entry.class)
	clear, held := c.clear.current()
	if !held {
		capture = append(capture, c.clearKey())
	}
	began := time.Now()
	grants, tokens, errs := c.store.AcquireMany(ctx, keys, attempts, capture)
	for _, t := range trips {
		t.asked = time.Since(began)
	}
	got.clear, got.tokens = clear, tokens[:len(got.tags)]
	if !held && tokens[len(got.tags)] != (envelope.Token{}) {
		got.clear = tokens[len(got.tags)]
		c.clear.learn(got.clear, began)
	}
	return grants, proofs, got, errs
}

// allTags are the tags of all trips, each once.
func allTags[T any](trips []*trip[T]) (all []tagRef) {
	seen := map[uint64]bool{}
	for _, t := range trips {
		for _, tag := range t.tags {
			if !seen[tag.id] {
				seen[tag.id] = true
				all = append(all, tag)
			}
		}
	}
	return all
}
