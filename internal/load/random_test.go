package load_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/load"
)

// chance is a backend whose answers are drawn, each after a while. It counts the leases
// that were granted, or perhaps were, and not given back.
type chance struct {
	t    *testing.T
	mu   sync.Mutex // protects following
	rand *rand.Rand
	held map[*load.Key]bool
	runs map[*load.Key]bool // loader calls
}

func (c *chance) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rand.IntN(n)
}

func (c *chance) pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(c.draw(int(most)))):
	case <-ctx.Done():
	}
}

func (c *chance) holds(k *load.Key, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.NotEqual(c.t, now, c.held[k], "a lease that is taken, or given back, twice")
	c.held[k] = now
}

func (c *chance) Storable(*load.Key) bool { return c.draw(10) > 0 }

func (c *chance) Acquire(ctx context.Context, keys []*load.Key) {
	c.pause(ctx, 5*time.Millisecond)
	for _, k := range keys {
		k.Answer, k.Left, k.Problem, k.Held = load.Answer(c.draw(7)), time.Duration(c.draw(int(time.Second))), nil, false
		if k.Fallback = c.draw(2) == 0; k.Answer == load.Granted || k.Answer == load.Unanswered && c.draw(2) == 0 {
			k.Held = true
			c.holds(k, true)
		}
		c.found(k)
	}
}

func (c *chance) found(k *load.Key) {
	if k.Answer == load.Served {
		k.Value, k.Err, k.Absent = k.Name, nil, false
	}
}

func (c *chance) Waiting(ctx context.Context, _ []*load.Key) (context.Context, func()) {
	return ctx, func() {}
}

func (c *chance) Poll(ctx context.Context, keys []*load.Key) {
	c.pause(ctx, 5*time.Millisecond)
	for _, k := range keys {
		k.Answer = load.Busy
		if c.draw(8) == 0 {
			k.Answer = [...]load.Answer{load.Served, load.Changed, load.Untouchable, load.Unanswered}[c.draw(4)]
		}
		k.Lease = foreign(byte(1+c.draw(30)/29), int64(1000+c.draw(100)))
		k.Fallback = c.draw(2) == 0
		c.found(k)
	}
}

func (c *chance) Renew(ctx context.Context, _ []*load.Key) bool {
	c.pause(ctx, 5*time.Millisecond)
	return c.draw(5) > 0
}

func (c *chance) Load(ctx context.Context, keys []*load.Key, _ load.Spare) {
	if c.draw(4) == 0 {
		ctx = context.WithoutCancel(ctx) // it does not look at it
	}
	c.pause(ctx, 3*time.Second)
	for _, k := range keys {
		c.mu.Lock()
		assert.False(c.t, c.runs[k], "a key is loaded twice by one flight")
		c.runs[k] = true
		c.mu.Unlock()
		k.Value, k.Err = k.Name, ctx.Err()
		if c.draw(5) == 0 {
			k.Value, k.Err = nil, errLoader
		}
	}
}

func (c *chance) Encode(*load.Key) bool { return c.draw(10) > 0 }

func (c *chance) Commit(ctx context.Context, keys []*load.Key) {
	c.pause(ctx, 5*time.Millisecond)
	for _, k := range keys {
		k.Verdict = load.Verdict(c.draw(5))
		k.Proven = k.Verdict == load.Committed && c.draw(2) == 0
		if k.Verdict != load.Unknown {
			c.holds(k, false)
		}
	}
}

func (c *chance) Overtaken(*load.Key) {}

func (c *chance) Release(ctx context.Context, keys []*load.Key, _ time.Duration) {
	for _, k := range keys {
		c.holds(k, false)
	}
	c.pause(ctx, 5*time.Millisecond)
}

// Whatever Redis, the loader, the callers and changes do: each call ends, each lease is
// given back once, no place is kept, and Close returns.
func TestEveryFlightEndsWhateverHappens(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			c := &chance{t: t, rand: rand.New(rand.NewPCG(seed, 1)), held: map[*load.Key]bool{}, runs: map[*load.Key]bool{}} //nolint:gosec // of a test
			r := newRoom(t, func(s *load.Settings) { s.Timeout, s.Places = 2*time.Second, load.NewPlaces(4, 5, func(bool) {}) })
			var calls sync.WaitGroup
			for range 1 + c.draw(40) {
				keys := names(8)
				c.mu.Lock()
				c.rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
				c.mu.Unlock()
				keys = keys[:1+c.draw(len(keys))]
				switch c.draw(12) {
				case 0:
					r.Detach(keys...)
				case 1:
					r.DetachAll()
				case 2:
					var led []*load.Key
					for _, key := range keys {
						if seat, ok := r.Begin(key, len(keys) > 1); ok {
							led = append(led, keyOf(&seat))
						}
					}
					calls.Go(func() { r.Run(t.Context(), c, true, led) })
				default:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(c.draw(4000))*time.Millisecond)
					call := r.visit(ctx, c, request{keys: keys, Caller: load.Caller{Waited: c.draw(3) == 0, Solo: c.draw(4) == 0}})
					calls.Go(func() { <-call; cancel() })
				}
				if c.draw(2) == 0 {
					c.pause(t.Context(), 500*time.Millisecond)
				}
			}
			if c.draw(2) == 0 {
				calls.Wait()
			}
			r.Close()
			calls.Wait()
			for k, held := range c.held {
				assert.False(t, held, "the lease of %s, seed %d", k.Name, seed)
			}
			assert.Zero(t, r.Overdue())
			next := newRoom(t, func(s *load.Settings) { s.Places = r.places })
			for _, key := range names(4) {
				calls.Go(func() {
					got := <-next.visit(t.Context(), play(script{refuse: true, loads: func(context.Context, *load.Key) { time.Sleep(time.Second) }}), request{keys: []string{key}})
					assert.Equal(t, load.Loaded, got[key].Outcome, "a place is still taken, seed %d", seed)
				})
			}
			calls.Wait()
		})
	}
}
