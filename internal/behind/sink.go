package behind

import (
	"context"
	"errors"
	"math/bits"
	"runtime/debug"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// search finds those in a batch that the sink does not take.
type search struct {
	engine *Engine
	until  time.Time
	most   int // failures in a row before the sink is out of order
	row    int // of them now
}

// write calls the sink with items, and with ever smaller parts of what it does
// not take. After it each item has its err, or none.
//
// One bad value costs log2(n)+1 failures in a row at most before the first of its
// neighbours is written. After about twice as many the sink itself is out of
// order, and the rest waits for the next try; so it does when there is no
// time left for another call before others may claim the keys.
func (e *Engine) write(ctx context.Context, items []*item) {
	s := &search{
		engine: e, until: time.Now().Add(2 * e.o.SinkTimeout), most: 2 * bits.Len(uint(len(items))),
	}
	s.try(ctx, items)
}

// try writes items or, if there are several and they failed, their halves.
func (s *search) try(ctx context.Context, items []*item) {
	if s.engine.call(ctx, items) > 0 {
		s.row = 0
	} else {
		s.row++
	}
	if items[0].err == nil || items[0].alone || s.over(ctx) {
		return
	}
	half := len(items) / 2
	s.try(ctx, items[:half])
	if !s.over(ctx) {
		s.try(ctx, items[half:])
	}
}

// over reports whether to leave the rest for the next try. Those not tried
// alone keep the error of the last batch they were in.
func (s *search) over(ctx context.Context) bool {
	return s.row >= s.most || ctx.Err() != nil || time.Now().After(s.until)
}

// call calls the sink once, notes what became of items, and returns how many are written.
func (e *Engine) call(ctx context.Context, items []*item) (written int) {
	start := time.Now()
	err := e.ask(ctx, items)
	var each BatchError
	if !errors.As(err, &each) {
		each = nil
	}
	for _, it := range items {
		it.err, it.alone = err, len(items) == 1
		if each != nil {
			it.err, it.alone = each[it.Key], true
		}
		if it.judged = Failed; it.err != nil && it.alone {
			it.judged = e.o.judge(it.err)
		}
		if it.err == nil || it.judged == HadNewer {
			written++
		}
	}
	e.taken.Add(int64(written))
	if e.o.Hooks.Batch != nil {
		e.o.Hooks.Batch(Batch{Size: len(items), Written: written, Took: time.Since(start), Err: err})
	}
	return written
}

// ask calls the sink with mutations of its own, and waits for it, however long: a call left
// behind would write while its keys are tried again. Meanwhile it keeps their claims. The
// sink's panic is an error, its Goexit too.
func (e *Engine) ask(ctx context.Context, items []*item) error {
	batch := make([]Mutation, len(items)) // the sink may reorder it
	for i, it := range items {
		batch[i] = it.mutation
	}
	limited, cancel := context.WithTimeout(ctx, e.o.SinkTimeout)
	defer cancel()
	result := make(chan error, 1)
	e.calls.Add(1)
	go func() {
		defer e.calls.Add(-1)
		err := errSinkExit
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
			result <- err
		}()
		err = e.o.Sink(limited, batch)
	}()
	renew := time.NewTicker(e.o.SinkTimeout)
	defer renew.Stop()
	for n := 1; ; n++ {
		select {
		case err := <-result:
			return err
		case <-renew.C:
			e.renew(ctx, items)
			if n == 2 && e.o.Hooks.Overdue != nil {
				e.o.Hooks.Overdue(len(items), time.Duration(n)*e.o.SinkTimeout)
			}
		}
	}
}

// renew keeps the claims of items. Who closes the engine has others wait no longer.
func (e *Engine) renew(ctx context.Context, items []*item) {
	if ctx.Err() != nil {
		return
	}
	all := make([]store.Retry, len(items))
	for i, it := range items {
		all[i] = store.Retry{Claimed: it.Claimed, Delay: e.o.lease()}
	}
	e.store.Retry(ctx, all)
	for i, it := range items {
		if all[i].Err == nil && all[i].Until != "" {
			it.Claim = all[i].Until
		}
		e.failed(ctx, "keep claims", all[i].Err)
	}
}
