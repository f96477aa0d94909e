package conn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/mono"
)

// readsOut is how many reads and batches of reads may be on their way to one node at
// once. A read that finds none on its way leaves alone and at once. One that finds
// some collects into the next batch, which leaves as soon as fewer than that many
// are out and the readers who are ready to run have had their turn to join it.
//
// Four keep a server on the same machine or in the same rack busy; more would only
// make the batches smaller. A server that is far away is idle while replies travel,
// and a reader who waits for another's reply waits for long: see route.most.
const readsOut = 4

// farAway is the round trip from which a server is far away.
const farAway = int64(500 * time.Microsecond)

// batcher shares reads: readers who come while others' reads are out leave together
// with the next batch. Equal keys of one batch that has not left yet are read once. A
// batch that has left is never joined, because its reply may be older than the reader
// who comes now (internal/model, variant 27).
//
// On a cluster there is a route for each of sixteen ranges of slots, so that readers
// wait for few nodes beside their own, and no table of nodes is asked.
type batcher struct {
	client *Client
	far    int // how many batches may be out to a node that is far away

	mu  sync.Mutex // protects following
	all [16]route
}

func (l *batcher) open(c *Client) {
	l.client = c
	l.far = max(settingsOf(c.redis).pool*3/4, readsOut) // the rest is for writes
}

// route is the way of key.
func (l *batcher) route(key string) *route {
	if l.client.locate.cluster == nil {
		return &l.all[0]
	}
	return &l.all[int(keyspace.Slot(key))*len(l.all)/keyspace.Slots]
}

// route is the way to one node. The mutex of the batcher guards it.
type route struct {
	out  int    // what is on its way, and the batch that is about to leave
	next *batch // what collects; nil: nothing
	due  bool   // next is about to leave: a goroutine is on its way to take it
	size int    // of the last batch, for the room of the next

	began         int64 // of the second whose shortest round trip is least
	least, before int64 // before is that of the second before; 0: none
}

// took hears of a round trip. The shortest of a second or two is the way there and
// back: the others have waited for a processor, here or there.
func (w *route) took(began, now int64) {
	if now-w.began > int64(time.Second) {
		w.began, w.before, w.least = now, w.least, 0
	}
	if trip := now - began; w.least == 0 || trip < w.least {
		w.least = trip
	}
}

// most is how many batches may be out: readsOut, or far if the node is far away.
func (w *route) most(far int) int {
	if trip := min(cmp.Or(w.before, w.least), w.least); trip > farAway {
		return far
	}
	return readsOut
}

// batch is reads that leave together. It is added to until it leaves.
type batch struct {
	keys   []string
	index  map[string]int
	seats  []int         // of readers, one for each of their keys: which key it is
	late   *time.Timer   // calls turn when the budget of the first reader is spent
	turned chan struct{} // closed then, or when the batch is done
	once   sync.Once     // for turned
	done   chan struct{}
	values []Value // of the seats; these two are written once, before done is closed
	err    error   // of all keys; then there are no values
}

// newBatch is one for about size readers, the first of whom has budget from now on.
func newBatch(size int, budget time.Duration) *batch {
	b := &batch{
		keys: make([]string, 0, size), index: make(map[string]int, size), seats: make([]int, 0, size),
		turned: make(chan struct{}), done: make(chan struct{}),
	}
	b.late = time.AfterFunc(budget, b.turn)
	return b
}

// turn wakes the readers: the batch is done, or the time of the first of them over.
func (b *batch) turn() { b.once.Do(func() { close(b.turned) }) }

// finish says that the batch is done.
func (b *batch) finish() {
	b.late.Stop()
	close(b.done)
	b.turn()
}

// read reads keys for one reader, alone or in a batch on the route of the first. The time
// that the reader may take is counted from here.
func (l *batcher) read(ctx context.Context, keys []string) []Value {
	way := l.route(keys[0])
	l.mu.Lock()
	if way.out == 0 {
		way.out++
		l.mu.Unlock()
		defer l.back(way, mono.Now())
		return released(l.client.read(ctx, keys))
	}
	b := l.nextLocked(way)
	first := len(b.seats)
	for _, key := range keys {
		b.addLocked(key)
	}
	end := len(b.seats)
	l.mu.Unlock()
	if err := l.await(ctx, b); err != nil {
		return unread(len(keys), err)
	}
	return released(b.values[first:end:end])
}

// nextLocked is the batch that collects.
func (l *batcher) nextLocked(way *route) *batch {
	if way.next == nil {
		way.next = newBatch(way.size, l.client.reads)
	}
	l.dispatchLocked(way)
	return way.next
}

// dispatchLocked lets the batch that collects leave, if one may. It leaves on a
// goroutine of its own: it belongs to all its readers, each of whom leaves in time.
// It reports false once the client is closed.
func (l *batcher) dispatchLocked(way *route) bool {
	if way.due || way.out >= way.most(l.far) {
		return true
	}
	if !l.client.workers.enter() {
		return false
	}
	way.out++
	way.due = true
	afterReady(func() { l.dispatch(way) })
	return true
}

// afterReady starts f behind the goroutines that are ready to run on this processor: on a
// busy one the other readers are among them, and join the batch. The scheduler runs
// first what was started last, so something that does nothing is started after f.
//
// runtime.Gosched would put f also behind those who use up their 10 ms each time: of
// four readers beside four of them, the slowest hundredth then waited 100 ms instead
// of 35 to 70. Should the scheduler change, batches become smaller, and that is all.
func afterReady(f func()) {
	go f()
	go func() {}()
}

// addLocked adds one reader of key.
func (b *batch) addLocked(key string) {
	at, ok := b.index[key]
	if !ok {
		at = len(b.keys)
		b.keys = append(b.keys, key)
		b.index[key] = at
	}
	b.seats = append(b.seats, at)
}

// await waits for a batch, for ctx, or until the reader's budget is spent. It
// returns nil once the values are there.
//
// A timer for each reader would cost more than the rest of the wait: a batch has one,
// and only when that goes off before the batch is done the others take theirs. A reader
// whose budget is cut has its own.
func (l *batcher) await(ctx context.Context, b *batch) error {
	began, budget := mono.Now(), l.client.readBudget(ctx)
	if budget == l.client.reads {
		select {
		case <-b.turned:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-b.done:
	default:
		if err := l.overtime(ctx, b, budget-time.Duration(mono.Now()-began)); err != nil {
			return err
		}
	}
	return b.err
}

// overtime waits for a batch until what a reader has left of its budget is spent.
func (l *batcher) overtime(ctx context.Context, b *batch, left time.Duration) error {
	late := time.NewTimer(left)
	defer late.Stop()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return fmt.Errorf("read: %w of %v, or of what its caller had left", ErrBudget, l.client.reads)
	}
}

// back gives the place of reads that are back to the batch that has collected.
func (l *batcher) back(way *route, began int64) {
	now := mono.Now()
	l.mu.Lock()
	way.took(began, now)
	way.out--
	b := way.next
	if b == nil || l.dispatchLocked(way) {
		l.mu.Unlock()
		return
	}
	way.next = nil
	l.mu.Unlock()
	b.err = ErrClosed
	b.finish()
}

// dispatch sends the batch that has collected.
func (l *batcher) dispatch(way *route) {
	defer l.client.workers.leave()
	began := mono.Now()
	defer l.back(way, began)
	l.mu.Lock()
	b := way.next
	way.next, way.due, way.size = nil, false, len(way.next.keys)
	l.mu.Unlock()
	l.send(b)
}

// send reads what b asks for.
func (l *batcher) send(b *batch) {
	b.err = errHookLeft
	defer b.finish() // also if a hook of the client exits the goroutine
	values := l.client.read(context.Background(), b.keys)
	if r := values[0].reply; r != nil {
		r.readers.Store(int32(len(b.seats)))
	}
	b.values = make([]Value, len(b.seats))
	for i, at := range b.seats {
		b.values[i] = values[at]
	}
	b.err = nil
}

// errHookLeft is what readers of a batch get whose goroutine a hook has ended.
var errHookLeft = errors.New("read: a hook of the client called runtime.Goexit")
