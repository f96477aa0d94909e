package store

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/mono"
)

// readsOut is how many batches of reads may be on their way to one node at once.
// As long as fewer are, a read leaves alone and at once; what comes while that
// many are out collects into the next batch, which leaves when one is back.
//
// Four keep a server on the same machine or in the same rack busy; more would only
// make the batches smaller. A server that is far away is idle while replies travel,
// and a reader who waits for another's reply waits for long: see lane.most.
const readsOut = 4

// farAway is the round trip from which a server is far away.
const farAway = int64(500 * time.Microsecond)

// lanes share reads: readers who come while enough reads are out wait for the
// next pipeline together. Equal keys of one batch that has not left yet are read
// once. A batch that has left is never joined, because its reply may be older
// than the reader who comes now (internal/model, variant 27).
//
// On a cluster there is a lane for each of sixteen ranges of slots, so that readers
// wait for few nodes beside their own, and no table of nodes is asked.
type lanes struct {
	store *Store
	alone func(ctx context.Context, key string) (Record, error)
	many  func(ctx context.Context, keys []string) ([]Record, *reply, error)
	far   int // how many batches may be out to a node that is far away

	timers sync.Pool // stopped ones, of this store's readers only: a bubble of testing/synctest keeps its own

	mu  sync.Mutex // protects following
	all [16]lane
}

// open makes lanes of reads that go alone by alone and together by many.
func (l *lanes) open(
	s *Store, alone func(context.Context, string) (Record, error),
	many func(context.Context, []string) ([]Record, *reply, error),
) {
	l.store, l.alone, l.many = s, alone, many
	l.far = max(settingsOf(s.client).pool*3/4, readsOut) // the rest is for writes
}

// readMany is ReadMany, for lanes.
func (s *Store) readMany(ctx context.Context, keys []string) ([]Record, *reply, error) {
	records, err := s.ReadMany(ctx, keys)
	return records, nil, err
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

	began         int64 // of the second whose shortest round trip is least
	least, before int64 // before is that of the second before; 0: none
}

// took hears of a round trip. The shortest of a second or two is the way there and
// back: the others have waited for a processor, here or there.
func (w *lane) took(began, now int64) {
	if now-w.began > int64(time.Second) {
		w.began, w.before, w.least = now, w.least, 0
	}
	if trip := now - began; w.least == 0 || trip < w.least {
		w.least = trip
	}
}

// most is how many batches may be out: readsOut, or far if the node is far away.
func (w *lane) most(far int) int {
	if trip := min(cmp.Or(w.before, w.least), w.least); trip > farAway {
		return far
	}
	return readsOut
}

// batch is reads that leave together. It is added to until it leaves.
type batch struct {
	keys    []string
	index   map[string]int
	readers int
	done    chan struct{}
	records []Record // these four are written once, before done is closed
	reply   *reply
	errs    []error
	err     error
}

// read reads key, alone or in a batch. The time that the reader may take is
// counted from here.
func (l *lanes) read(ctx context.Context, key string) (Record, error) {
	way := l.laneOf(key)
	l.mu.Lock()
	if way.out < way.most(l.far) {
		way.out++
		l.mu.Unlock()
		defer l.back(way, mono.Now())
		return l.alone(ctx, key)
	}
	b := way.nextLocked()
	at := b.addLocked(key)
	l.mu.Unlock()
	if err := l.await(ctx, b, at); err != nil {
		return Record{}, err
	}
	rec := b.records[at]
	rec.reply = b.reply
	return rec, nil
}

// readTogether reads several keys at once, alone or in a batch, on the lane of the
// first.
func (l *lanes) readTogether(ctx context.Context, keys []string) ([]Record, error) {
	way := l.laneOf(keys[0])
	l.mu.Lock()
	if way.out < way.most(l.far) {
		way.out++
		l.mu.Unlock()
		defer l.back(way, mono.Now())
		records, _, err := l.many(ctx, keys)
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
	budget := l.timer()
	defer func() {
		budget.Stop()
		l.timers.Put(budget)
	}()
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

// timer is one that goes off after the budget of a read.
func (l *lanes) timer() *time.Timer {
	t, ok := l.timers.Get().(*time.Timer)
	if !ok {
		return time.NewTimer(l.store.reads)
	}
	t.Reset(l.store.reads)
	return t
}

// back gives the place of reads that are back to the batch that has collected.
func (l *lanes) back(way *lane, began int64) {
	now := mono.Now()
	l.mu.Lock()
	way.took(began, now)
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
	defer l.back(way, mono.Now())
	b.records, b.reply, b.err = l.many(context.Background(), b.keys)
	if b.reply != nil {
		b.reply.readers.Store(int32(b.readers))
	}
	if keys, ok := b.err.(KeyErrors); ok { //nolint:errorlint // bare, from ReadMany
		b.errs, b.err = keys, nil
	}
	close(b.done)
}
