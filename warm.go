package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/telemetry"
)

// WarmOptions are how [Cache.Warm] goes about it. The zero value is gentle.
type WarmOptions struct {
	// PerSecond is how many keys are loaded in a second, at a steady rate: what a
	// slow loader leaves unused is not made up for. 0 means 1,000; negative is an
	// error. Keys that are fresh do not count.
	PerSecond int
	// Concurrency is how many batches are being loaded at once. 0 means 1;
	// negative is an error.
	Concurrency int
	// Batch is how many keys the loader is called with, fewer at the end, and no
	// more than PerSecond. 0 means 100; negative or above 200 is an error.
	Batch int
	// Progress is called with the figures so far after each batch that was looked
	// up or loaded, one call at a time, on a goroutine of Warm's. Warm does not get
	// ahead of it, so it must be quick. Its panics are contained and logged.
	Progress func(WarmReport)
}

// WarmReport says what became of the keys of [Cache.Warm]. Each that was iterated
// is counted once, duplicates too: usually as skipped.
type WarmReport struct {
	// Loaded were not fresh, and are in Redis now, by this call or by another
	// loader of the key that it waited for; remembered absences among them.
	Loaded int
	// Skipped were fresh, or have nothing to be stored: they do not exist, and
	// their class does not remember that.
	Skipped int
	// Failed are not in the cache, or only as a stale value: their load failed,
	// Redis did, or what was loaded could not be stored, because a change
	// overlapped its load, a write is under way, or the record is not the cache's.
	Failed int
}

// warmErrors is how many errors of single keys Warm returns.
const warmErrors = 10

var (
	errNotKept    = errors.New("loaded, but not stored")
	errNotKeeping = errors.New("the entry cannot be stored now: a write is under way, an invalidation is queued, or the record is not the cache's")
)

// Warm loads those of keys that have no fresh entry, at a bounded rate. Fresh ones
// are only looked up, so a run that was interrupted is continued by running it
// again, and several processes that warm the same keys share the loads. It uses the
// options of New.
//
// Keys that fail do not stop it: the errors of the first 10 are returned, joined,
// with the number of the others; they are [*OpError] with the key, around the
// loader's error or Redis's. Where Redis fails, nothing is loaded. If ctx ends or
// the cache is closed the report is that of the batches until then, with ctx's error
// or [ErrClosed]; keys that were being loaded are not in it. Bad options, a nil
// loader and nil keys are refused with an [*OpError].
//
// keys is iterated on the caller's goroutine, a batch ahead of the loads; a panic
// in it reaches the caller once all goroutines of Warm have ended. For each
// node of a cluster it costs one round trip for 200 keys, and three for each batch
// that is loaded.
func (c *Cache[T]) Warm(ctx context.Context, keys iter.Seq[string], load BatchLoader[T], o WarmOptions) (WarmReport, error) {
	problem := o.settle()
	switch {
	case load == nil:
		problem = "loader is nil"
	case keys == nil:
		problem = "keys is nil"
	}
	if problem != "" {
		return WarmReport{}, argError("warm", "", problem)
	}
	w := &warming[T]{
		cache: c, load: load, WarmOptions: o, size: min(o.Batch, o.PerSecond),
		places: make(chan struct{}, o.Concurrency), results: make(chan warmed), counted: make(chan struct{}),
	}
	err := w.run(ctx, keys)
	return w.total.WarmReport, w.total.problem(err)
}

// settle sets what is 0, and returns why the options are refused.
func (o *WarmOptions) settle() (problem string) {
	for _, f := range []struct {
		name         string
		field        *int
		usual, limit int
	}{
		{"PerSecond", &o.PerSecond, 1000, 0},
		{"Concurrency", &o.Concurrency, 1, 0},
		{"Batch", &o.Batch, 100, batchSize},
	} {
		switch {
		case *f.field < 0:
			return fmt.Sprintf("%s: %d is negative", f.name, *f.field)
		case f.limit > 0 && *f.field > f.limit:
			return fmt.Sprintf("%s: %d is more than %d", f.name, *f.field, f.limit)
		case *f.field == 0:
			*f.field = f.usual
		}
	}
	return ""
}

// warming is a Warm under way. Its caller's goroutine looks keys up and hands
// batches of missing ones to loading; what becomes of each goes to counting.
type warming[T any] struct {
	WarmOptions
	cache *Cache[T]
	load  loader[T]
	size  int // of a batch

	missing []*call[T]
	next    time.Time // when the next batch may be loaded
	places  chan struct{}
	loading helpers
	results chan warmed
	total   warmed // the counting goroutine's, until counted is closed
	counted chan struct{}
}

// run warms keys until all are done, or returns why it did not get that far.
func (w *warming[T]) run(ctx context.Context, keys iter.Seq[string]) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go w.count()
	defer func() {
		close(w.results)
		<-w.counted
	}()
	defer w.loading.wait()
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	err = errGoexit // or a panic, in keys
	err = w.feed(ctx, keys)
	return err
}

// feed looks keys up, and hands those to be loaded on.
func (w *warming[T]) feed(ctx context.Context, keys iter.Seq[string]) error {
	var chunk []string
	for key := range keys {
		if err := w.cache.usable(ctx); err != nil {
			return err
		}
		if chunk = append(chunk, key); len(chunk) < batchSize {
			continue
		}
		if err := w.take(ctx, chunk, w.size); err != nil {
			return err
		}
		chunk = nil
	}
	return w.take(ctx, chunk, 1)
}

// take looks up a chunk of keys, and hands on what is missing as long as that makes
// a batch of at least so many.
func (w *warming[T]) take(ctx context.Context, chunk []string, atLeast int) error {
	if err := w.cache.usable(ctx); err != nil {
		return err
	}
	if len(chunk) > 0 {
		w.results <- w.look(ctx, chunk)
	}
	for len(w.missing) >= atLeast {
		n := min(w.size, len(w.missing))
		if err := w.dispatch(ctx, w.missing[:n]); err != nil {
			return err
		}
		w.missing = w.missing[n:]
	}
	return nil
}

// look finds out what of a chunk is missing.
func (w *warming[T]) look(ctx context.Context, chunk []string) (seen warmed) {
	c := w.cache
	ctx, span := c.tel.Start(ctx, telemetry.OpGet)
	all := c.calls(chunk, nil, c.config.entry)
	l := c.takeRoom()
	c.lookup(ctx, l, all)
	c.giveRoom(l)
	done := make([]*call[T], 0, len(all))
	for _, l := range all {
		if l.err == nil && l.lookup.State != record.Fresh && !l.lookup.bypass && l.lookup.State.Replaceable() {
			l.loader, l.missed, l.warms = w.load, true, true
			w.missing = append(w.missing, l)
			continue
		}
		done = append(done, l)
		if l.err == nil && l.lookup.State != record.Fresh {
			l.err = &OpError{Op: "warm", Key: l.key, Err: errNotKeeping}
			if l.lookup.failure != nil {
				l.err = &OpError{Op: "warm", Key: l.key, Err: l.lookup.failure}
			}
		}
	}
	c.countMany(done) // the others count where they are loaded
	c.endSpanOfMany(ctx, span, all)
	seen = w.judge(ctx, done)
	seen.Skipped += len(chunk) - len(all)
	return seen
}

// dispatch has a batch loaded once its turn has come.
func (w *warming[T]) dispatch(ctx context.Context, batch []*call[T]) error {
	c := w.cache
	select {
	case w.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.region.Background.Closing():
		return ErrClosed
	}
	if err := c.region.Background.Sleep(ctx, time.Until(w.next)); err != nil {
		return err
	}
	w.next = time.Now().Add(time.Duration(len(batch)) * time.Second / time.Duration(w.PerSecond))
	w.loading.run(func() {
		defer func() { <-w.places }()
		ctx, span := c.tel.Start(ctx, telemetry.OpGet)
		began := c.region.Flights.Now()
		for _, l := range batch {
			l.began = began
		}
		c.getBatch(ctx, batch)
		c.endGetMany(ctx, span, 0, batch)
		w.results <- w.judge(ctx, batch)
	})
	return nil
}

// warmed is what became of keys.
type warmed struct {
	WarmReport
	errs  []error // of the first that failed
	ended error   // why others were not done
}

// judge sorts look-ups that have ended.
func (w *warming[T]) judge(ctx context.Context, all []*call[T]) (sorted warmed) {
	forgets := w.cache.config.entry.class.Absent == 0
	for _, l := range all {
		answered := l.err == nil || isAbsent(l.err)
		switch {
		case !answered && w.cache.usable(ctx) != nil:
			sorted.ended = w.cache.usable(ctx)
		case !answered:
			sorted.fail(loadError(l.key, l.err))
		case l.lookup.State.Serves():
			sorted.Skipped++
		case l.result.kept:
			sorted.Loaded++
		case l.err != nil && forgets:
			sorted.Skipped++
		default:
			sorted.fail(&OpError{Op: "warm", Key: l.key, Err: cmp.Or(l.result.problem, errNotKept)})
		}
	}
	return sorted
}

func (w *warmed) fail(err error) {
	if w.Failed++; len(w.errs) < warmErrors {
		w.errs = append(w.errs, err)
	}
}

// count adds up what became of keys, and reports it. It goes on counting if
// Progress ends its goroutine.
func (w *warming[T]) count() {
	defer close(w.counted)
	defer func() {
		for more := range w.results {
			w.total.add(&more)
		}
	}()
	for more := range w.results {
		w.total.add(&more)
		if w.Progress != nil {
			w.cache.tel.call("Progress", func() { w.Progress(w.total.WarmReport) })
		}
	}
}

func (w *warmed) add(more *warmed) {
	w.Loaded += more.Loaded
	w.Skipped += more.Skipped
	w.Failed += more.Failed
	w.errs = append(w.errs, more.errs[:min(len(more.errs), warmErrors-len(w.errs))]...)
	if w.ended == nil {
		w.ended = more.ended
	}
}

// problem is what Warm returns. stopped is why it did not get through the keys.
func (w *warmed) problem(stopped error) error {
	if stopped == nil {
		stopped = w.ended
	}
	if stopped != nil && w.Failed == 0 {
		return stopped
	}
	errs := append([]error{stopped}, w.errs...)
	if more := w.Failed - len(w.errs); more > 0 {
		errs = append(errs, &OpError{Op: "warm", Err: fmt.Errorf("%d more keys failed", more)})
	}
	return errors.Join(errs...)
}
