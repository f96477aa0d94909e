package cache

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// batchSize is how many keys are read, loaded or set at once, and batchesAtOnce how
// many such batches of one call.
const (
	batchSize     = 200
	batchesAtOnce = 4
)

// manyAtOnce bounds how many keys of one call are worked on at the same time,
// where each takes calls of user code.
const manyAtOnce = 8

// forEach calls f for each key, several at once, and joins the errors; of one
// key the error stays itself. A call of f that ends by Goexit is an error, too.
func forEach(keys []string, f func(i int, key string) error) error {
	switch len(keys) {
	case 0:
		return nil
	case 1:
		return f(0, keys[0])
	}
	errs := make([]error, len(keys))
	var calls errgroup.Group
	calls.SetLimit(manyAtOnce)
	for i, key := range keys {
		calls.Go(func() error {
			errs[i] = &PanicError{Value: errGoexit}
			errs[i] = f(i, key)
			return nil
		})
	}
	_ = calls.Wait() // each error is in errs
	return joinErrors(slices.DeleteFunc(errs, func(err error) bool { return err == nil }), len(keys))
}

// inBatches calls f for each batch of all, several at once; one alone on the
// caller's goroutine.
func inBatches[E any](all []E, f func(batch []E)) {
	if len(all) <= batchSize {
		f(all)
		return
	}
	var batches helpers
	limit := make(chan struct{}, batchesAtOnce)
	for batch := range slices.Chunk(all, batchSize) {
		limit <- struct{}{}
		batches.run(func() {
			defer func() { <-limit }()
			f(batch)
		})
	}
	batches.wait()
}

// helpers are goroutines of one call, which waits for them. A codec's panic on one
// of them is the caller's, as it is where there are none.
type helpers struct {
	running  sync.WaitGroup
	panicked atomic.Pointer[PanicError]
}

func (h *helpers) run(f func()) {
	h.running.Go(func() {
		var panicked *PanicError
		if errors.As(contain(func() error { f(); return nil }), &panicked) {
			h.panicked.CompareAndSwap(nil, panicked)
		}
	})
}

func (h *helpers) wait() {
	h.running.Wait()
	if p := h.panicked.Load(); p != nil {
		panic(p.Value)
	}
}
