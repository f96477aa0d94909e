package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// overdue is how much longer than the load timeout waiters wait for a loader
// that does not look at its context.
const overdue = 100 * time.Millisecond

// loadLeased calls the loader under the lease and stores what it returns, if
// the lease's token is still in the record by then: a change that overlapped
// the load has removed it, and the value, which may be older than the change,
// is not stored.
func (t *trip[T]) loadLeased(ctx context.Context) {
	v, err := t.callLoader(ctx, true)
	switch {
	case err == nil:
		t.fill(context.WithoutCancel(ctx), v, nil)
	case isAbsent(err):
		t.fill(context.WithoutCancel(ctx), v, err)
	default:
		backoff := t.backoff()
		if errors.Is(ctx.Err(), context.Canceled) {
			backoff = 0 // nobody waits any more, or Close: no failure of the loader
		}
		t.cool(backoff)
		t.release(context.WithoutCancel(ctx), backoff)
		t.land(landing[T]{err: err})
	}
}

// loadUnleased calls the loader without a lease, within the load limit. What
// it returns is stored nowhere, and shared by rule (b) of singleflight.go only.
func (t *trip[T]) loadUnleased(ctx context.Context) {
	if t.refresh && !t.cache.flights.wanted(t.flight) || ctx.Err() != nil {
		t.land(landing[T]{again: true})
		return
	}
	if err := t.cache.limit.enter(ctx); err != nil {
		t.land(landing[T]{err: err})
		return
	}
	defer t.cache.limit.leave()
	v, err := t.callLoader(ctx, false)
	t.land(landing[T]{value: v, size: -1, err: err})
}

// callLoader runs the loader, with its timeout, its span, and for a load under
// a lease the lease's renewal. A panic is returned as an error; Goexit runs the
// deferred calls and then trip.tidy.
func (t *trip[T]) callLoader(ctx context.Context, leased bool) (v T, err error) {
	c := t.cache
	ctx, cancel := context.WithTimeout(ctx, c.config.loadTimeout)
	defer cancel()
	if leased {
		defer t.keepLease(ctx)()
	}
	late := time.AfterFunc(c.config.loadTimeout+overdue, func() {
		c.flights.land(t.key, t.flight, landing[T]{err: &OpError{Op: "load", Key: t.key, Err: context.DeadlineExceeded}})
	})
	defer late.Stop()
	ctx, span := c.tel.start(ctx, opLoad)
	t.loadBegan = time.Now()
	err = errGoexit
	defer func() {
		t.loadTook = time.Since(t.loadBegan)
		c.tel.loaded(span, t.key, t.refresh, t.loadTook, err)
	}()
	t.loadSeq = c.flights.load(t.flight, leased)
	err = contain(func() (err error) {
		v, err = t.load(ctx, t.key)
		if err != nil && !isAbsent(err) && c.config.notFound(err) {
			err = absentError{err}
		}
		return err
	})
	return v, err
}

// contain calls user code and turns its panic into an error. Goexit passes.
func contain(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// backoff is for how long the fleet leaves a key alone after a failed load.
func (t *trip[T]) backoff() time.Duration {
	return min(max(t.loadTook, 100*time.Millisecond), time.Second)
}

// release gives the lease back, or turns it into a back-off.
func (t *trip[T]) release(ctx context.Context, backoff time.Duration) {
	if _, err := t.cache.store.Release(ctx, t.redisKey, t.token, backoff); err != nil {
		t.cache.tel.redisFailed(opLoad, err)
	}
	t.held = false
}

// fill stores what the loader returned, v or the absence that err says, and
// lands with it. The flight is sealed before the commit is sent.
func (t *trip[T]) fill(ctx context.Context, v T, absent error) {
	c := t.cache
	result := landing[T]{value: v, size: -1, err: absent}
	cost := t.asked + t.loadTook
	entry := stored{class: t.entry.class, absent: absent != nil, loadedAt: t.granted, began: t.loadBegan, delta: cost, ewma: cost}
	if t.seen.body.EWMA > 0 {
		entry.ewma = loadCost(cost, t.seen.body.EWMA)
	}
	err := contain(func() (err error) { return c.encode(&entry, t.key, t.redisKey, v) })
	if err != nil {
		c.tel.unencodable(err)
		t.release(ctx, t.backoff())
		t.land(result)
		return
	}
	result.size = entry.size
	proof, ok := c.flights.seal(t.flight)
	if !ok { // a change made through this process overtook the load
		t.refused()
		t.release(ctx, 0)
		t.land(result)
		return
	}
	t.commit(ctx, &entry, proof, result)
}

// commit sends the entry. Only an accepted commit proves the value to those
// who joined the flight.
func (t *trip[T]) commit(ctx context.Context, entry *stored, proof int, result landing[T]) {
	c := t.cache
	ctx, span := c.tel.start(ctx, opPut)
	verdict, err := c.store.Commit(ctx, t.redisKey, store.Commit{
		Token: t.token, TTL: entry.life(time.Now()), Version: entry.version,
		Body: entry.body, Absent: entry.absent,
	})
	c.endPut(ctx, span, t.key, t.redisKey, entry, err)
	t.held = err != nil // perhaps
	switch {
	case err != nil:
		c.tel.redisFailed(opPut, err)
	case verdict == store.Committed:
		result.proof = proof
	case verdict == store.Older:
		result.again = true
		t.refused()
	default:
		t.refused()
	}
	t.land(result)
}

func (t *trip[T]) refused() { t.cache.tel.refused(t.key) }

// stored is an entry on its way into Redis.
type stored struct {
	class       *TTL
	absent      bool
	version     uint64
	loadedAt    int64 // Redis time in ms; 0: unknown
	delta, ewma time.Duration
	behind      bool      // a put: Redis assigns the version
	began       time.Time // when the load began; zero: now, it was not loaded

	soft, grace time.Duration
	body        []byte
	size        int // encoded bytes of the value; -1: none
}

// life is the PX of the entry: Fresh runs from the start of the load, so a load
// that took longer than that leaves nothing to store, and 0 removes the record.
func (s *stored) life(now time.Time) time.Duration {
	life := addDurations(s.soft, s.grace)
	if !s.began.IsZero() {
		life -= now.Sub(s.began)
	}
	return max(life.Truncate(time.Millisecond), 0)
}

// encode makes the entry's body: times from its class, the value by the codec.
func (c *Cache[T]) encode(s *stored, key, redisKey string, v T) error {
	body := envelope.Body{
		Absent: s.absent, Codec: c.config.codecID, Schema: c.config.schema,
		LoadedAt: s.loadedAt, Delta: s.delta, EWMA: s.ewma,
	}
	s.size = -1
	if s.absent {
		s.soft, s.grace = s.class.Absent, 0
	} else {
		s.soft = s.class.soft(rand.Float64())
		s.grace = s.class.grace(c.config.loadTimeout, max(s.delta, s.ewma))
		if !s.behind {
			s.version = c.version(v)
		}
	}
	body.Soft, body.Grace = s.soft, s.grace
	data, crcAt, err := envelope.AppendBody(make([]byte, 0, 128), &body)
	if err != nil {
		return err
	}
	if !s.absent {
		head := len(data)
		if data, err = c.appendValue(data, key, v); err != nil {
			return err
		}
		s.size = len(data) - head
	}
	envelope.Seal(data, crcAt, redisKey, s.version)
	s.body = data
	return nil
}
