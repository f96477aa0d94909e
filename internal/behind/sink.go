package behind

import (
	"context"
	"fmt"
	"math/bits"
	"runtime/debug"
	"time"
)

// PanicError is what a sink's panic counts as.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the value.
func (p *PanicError) Error() string { return fmt.Sprintf("the sink panicked: %v", p.Value) }

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
// order, and the rest waits for the next delivery; so it does when there is no
// time left for another call before others may take the tickets.
func (e *Engine) write(ctx context.Context, items []*item) {
	s := &search{
		engine: e, until: time.Now().Add(2 * e.o.SinkTimeout), most: 2 * bits.Len(uint(len(items))),
	}
	s.try(ctx, items)
}

// try writes items or, if there are several and they failed, their halves.
func (s *search) try(ctx context.Context, items []*item) {
	err := s.engine.call(ctx, items)
	alone := len(items) == 1
	for _, it := range items {
		it.tried, it.err, it.alone = true, err, alone
	}
	if err == nil {
		s.row = 0
		s.engine.taken.Add(1)
		return
	}
	s.row++
	if alone || s.over(ctx) {
		return
	}
	half := len(items) / 2
	s.try(ctx, items[:half])
	if s.over(ctx) {
		return
	}
	s.try(ctx, items[half:])
}

// over reports whether to leave the rest for the next delivery. Those not tried
// alone keep the error of the last batch they were in.
func (s *search) over(ctx context.Context) bool {
	return s.row >= s.most || ctx.Err() != nil || time.Now().After(s.until)
}

// call calls the sink once, with mutations of its own, and waits for it. Its
// panic is an error, its Goexit too.
func (e *Engine) call(ctx context.Context, items []*item) error {
	batch := make([]Mutation, len(items)) // the sink may reorder it
	for i, it := range items {
		batch[i] = it.mutation
	}
	ctx, cancel := context.WithTimeout(ctx, e.o.SinkTimeout)
	defer cancel()
	start := time.Now()
	result := make(chan error, 1)
	go func() {
		err := errSinkExit
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
			result <- err
		}()
		err = e.o.Sink(ctx, batch)
	}()
	err := <-result // however long: a call left behind would write while its keys are tried again
	if e.o.Hooks.Batch != nil {
		e.o.Hooks.Batch(Batch{Size: len(items), Took: time.Since(start), Err: err})
	}
	return err
}
