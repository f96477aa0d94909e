package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/larder-go/cache/internal/keyspace"
)

// readsOut is how many batches of reads may be on their way to one node at once.
// As long as fewer are, a read leaves alone and at once; what comes while that
// many are out collects into the next batch, which leaves when one is back.
const readsOut = 4

// lanes share reads: readers who come while enough reads are out wait for the
// next pipeline together. Equal keys of one batch that has not left yet are read
// once. A batch that has left is never joined, because its reply may be older
// than the reader who comes now (internal/model, variant 27).
//
// On a cluster there is a lane for each of sixteen ranges of slots, so that readers
// wait for few nodes beside their own, and no table of nodes is asked.
type lanes struct {
	store *Store

	mu  sync.Mutex // protects following
	all [16]lane
}

// laneOf is the lane of key.
func (l *lanes) laneOf(key string) *lane {
	if l.store.locate.cluster == nil {
		return &l.all[0]
	}
	return &l.all[int(keyspace.Slot(key))*len(l.all)/keyspace.Slots]
}

// lane is the way to one node. The mutex of lanes guards it.
type lane struct {
	out  int
	next *batch // what collects; nil: nothing
}

// batch is reads that leave together. It is added to until it leaves.
type batch struct {
	keys    []string
	index   map[string]int
	readers int
	done    chan struct{}
	records []Record // these three are written once, before done is closed
	errs    []error
	err     error
}

// read reads key, alone or in a batch. The time that the reader may take is
// counted from here.
func (l *lanes) read(ctx context.Context, key string) (Record, error) {
	way := l.laneOf(key)
	l.mu.Lock()
	if way.out < readsOut {
		way.out++
		l.mu.Unlock()
		defer l.back(way)
		return l.store.readAlone(ctx, key)
	}
	b := way.nextLocked()
	at := b.addLocked(key)
	l.mu.Unlock()
	if err := l.await(ctx, b, at); err != nil {
		return Record{}, err
	}
	return b.records[at], nil
}

// readTogether reads several keys at once, alone or in a batch, on the lane of the
// first.
func (l *lanes) readTogether(ctx context.Context, keys []string) ([]Record, error) {
	way := l.laneOf(keys[0])
	l.mu.Lock()
	if way.out < readsOut {
		way.out++
		l.mu.Unlock()
		defer l.back(way)
		records, err := l.store.ReadMany(ctx, keys)
		if all, ok := err.(KeyErrors); ok { //nolint:errorlint // bare, from ReadMany
			err = all.Unwrap()[0]
		}
		return records, err
	}
	b := way.nextLocked()
	at := make([]int, len(keys))
	for i, key := range keys {
		at[i] = b.addLocked(key)
	}
	l.mu.Unlock()
	if err := l.await(ctx, b, at...); err != nil {
		return nil, err
	}
	records := make([]Record, len(keys))
	for i := range at {
		records[i] = b.records[at[i]]
	}
	return records, nil
}

// nextLocked is the batch that collects, with one reader more.
func (w *lane) nextLocked() *batch {
	if w.next == nil {
		w.next = &batch{index: map[string]int{}, done: make(chan struct{})}
	}
	w.next.readers++
	return w.next
}

// addLocked adds key, and says where its record will be.
func (b *batch) addLocked(key string) (at int) {
	at, ok := b.index[key]
	if !ok {
		at = len(b.keys)
		b.keys = append(b.keys, key)
		b.index[key] = at
	}
	return at
}

// await waits for a batch, for ctx, or until the reader's budget is spent. It
// returns nil once the records at at are there.
func (l *lanes) await(ctx context.Context, b *batch, at ...int) error {
	budget := time.NewTimer(l.store.reads)
	defer budget.Stop()
	select {
	case <-b.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-budget.C:
		return fmt.Errorf("read: %w of %v", ErrBudget, l.store.reads)
	}
	if b.err != nil || b.errs == nil {
		return b.err
	}
	for _, i := range at {
		if b.errs[i] != nil {
			return b.errs[i]
		}
	}
	return nil
}

// back gives the place of reads that are back to the batch that has collected.
func (l *lanes) back(way *lane) {
	l.mu.Lock()
	b := way.next
	way.next = nil
	if b == nil || !l.store.detached.enter() {
		way.out--
		l.mu.Unlock()
		if b != nil {
			b.err = ErrClosed
			close(b.done)
		}
		return
	}
	l.mu.Unlock()
	go l.send(way, b)
}

// send sends a batch, on a goroutine of its own: it belongs to all its readers,
// each of whom leaves in time.
func (l *lanes) send(way *lane, b *batch) {
	defer l.store.detached.leave()
	defer l.back(way)
	b.records, b.err = l.store.ReadMany(context.Background(), b.keys)
	if keys, ok := b.err.(KeyErrors); ok { //nolint:errorlint // bare, from ReadMany
		b.errs, b.err = keys, nil
	}
	close(b.done)
}
