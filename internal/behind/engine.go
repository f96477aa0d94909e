package behind

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/store"
)

var (
	// ErrClosed is returned after Close or Drain has begun.
	ErrClosed = errors.New("write-behind is closed")
	// ErrBackpressure: nothing was stored because too many keys wait for the sink.
	ErrBackpressure = errors.New("too many keys wait for the sink")
)

// Engine puts values, and writes them behind unless it only puts. Its methods
// are safe for concurrent use. Make it with [New], end it with [Engine.Close].
type Engine struct {
	o     Options
	store *store.Store
	parts []*store.Partition

	puts     *gate
	failures failures
	taken    atomic.Int64    // values that the sink took
	calls    atomic.Int64    // of the sink that have not returned
	waiting  atomic.Int64    // puts that wait for room
	bytes    atomic.Int64    // that one read of records asks for, at most
	wake     []chan struct{} // one per worker

	retire  context.CancelFunc // no further key is claimed
	stop    context.CancelFunc // and what is under way ends
	running sync.WaitGroup
}

// New looks whether the partitions are what they should be, one round trip per node, and
// starts the goroutines. It does not look at the server's settings: see
// [store.Store.CheckDurability].
func New(ctx context.Context, o Options) (*Engine, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	e := &Engine{o: o, store: o.Store, puts: newGate()}
	e.bytes.Store(mostBytes)
	for i := range o.Partitions {
		e.parts = append(e.parts, &o.Partitions[i])
	}
	if err := e.store.CheckPartitions(ctx, e.parts); err != nil {
		return nil, err
	}
	e.start()
	return e, nil
}

// start starts the goroutines. They look for work as long as the inner context
// lives and finish what they have as long as the outer one does.
func (e *Engine) start() {
	work, stop := context.WithCancel(context.Background())
	look, retire := context.WithCancel(work)
	e.stop, e.retire = stop, retire
	if e.o.Hooks.Sample != nil {
		e.running.Go(func() { e.sample(look) })
	}
	if e.o.putOnly() {
		return
	}
	for range e.o.Workers {
		w := &worker{engine: e, wake: make(chan struct{}, 1), pace: e.newPacer()}
		e.wake = append(e.wake, w.wake)
		e.running.Go(func() { w.run(look, work) })
	}
}

// PartitionOf returns where the key lives.
func (e *Engine) PartitionOf(key string) *store.Partition { return e.parts[e.o.PartitionOf(key)] }

// RecordKey returns the Redis key of a user's key: what its body is sealed for.
func (e *Engine) RecordKey(key string) string { return e.PartitionOf(key).Record(key) }

// Sample reads the state of all partitions, one round trip per node. It works
// in a process that only puts, and after Close.
func (e *Engine) Sample(ctx context.Context) (Sample, error) {
	all, err := e.store.Gauges(ctx, e.parts)
	s := Sample{Taken: time.Now()}
	for _, g := range all {
		s.Dirty += g.Dirty
		s.DeadLetters += g.DeadLetters
		s.Retrying += g.Retrying
		if !g.Since.IsZero() {
			s.Lag = max(s.Lag, g.Now.Sub(g.Since))
		}
	}
	// A key that fails is dirty. One that is older than all of those was written by another process.
	s.OldestRetry = min(e.failures.oldest(), s.Lag)
	return s, err
}

// SinkCalls is how many calls of the sink have not returned.
func (e *Engine) SinkCalls() int64 { return e.calls.Load() }

// WaitingPuts is how many puts wait for room.
func (e *Engine) WaitingPuts() int64 { return e.waiting.Load() }

// sample tells the hook how much waits, until ctx ends. No sink can hold it up.
func (e *Engine) sample(ctx context.Context) {
	for pause(ctx, e.o.SampleEvery, nil) {
		if check := e.o.Hooks.Check; check != nil {
			e.failed(ctx, "check the strategy", check(ctx))
		}
		s, err := e.Sample(ctx)
		if err != nil {
			e.failed(ctx, "read the gauges", err)
			continue
		}
		e.o.Hooks.Sample(s)
	}
}

// Drain refuses further puts and waits until all that is dirty now is in the sink, and the
// workers have done what they had in hand. The error is ctx's, or that of a look into Redis
// that failed. An engine that only puts waits for nobody: what it put is safe in Redis.
func (e *Engine) Drain(ctx context.Context) error {
	e.puts.shut()
	if !within(ctx, &e.puts.inside) {
		return ctx.Err()
	}
	if e.o.putOnly() {
		return nil
	}
	if err := e.Flush(ctx); err != nil {
		return err
	}
	e.retire()
	within(ctx, &e.running) // maybe they are at keys of others
	return nil
}

// Close refuses further puts and ends the goroutines. The context of a call of
// the sink that is under way ends, and what it has written nevertheless is
// acknowledged if it says so, until ctx ends. Close returns how many keys are dirty, of all
// processes, or why it does not know; calls is how many of the sink have not returned. A
// second Close does the same again.
func (e *Engine) Close(ctx context.Context) (dirty, calls int, err error) {
	e.puts.shut()
	e.stop()
	within(ctx, &e.running)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	s, err := e.Sample(ctx)
	if err != nil {
		err = fmt.Errorf("count dirty keys: %w", err)
	}
	return s.Dirty, int(e.SinkCalls()), err
}

// lastLook is how long Close counts at most what it leaves.
const lastLook = time.Second

// within waits for all, and reports whether they have ended before ctx did.
func within(ctx context.Context, all *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// failed tells of what went wrong in Redis. That the engine was closed is nothing
// to tell.
func (e *Engine) failed(ctx context.Context, op string, err error) {
	if err != nil && ctx.Err() == nil && e.o.Hooks.Error != nil {
		e.o.Hooks.Error(op, err)
	}
}

// hurry makes the workers look for keys now.
func (e *Engine) hurry() {
	for _, wake := range e.wake {
		select {
		case wake <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// pause waits for d, a wake-up or the end of ctx, and reports whether ctx is
// still alive.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
