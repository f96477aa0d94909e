package behind

import (
	"context"
	"strconv"

	"github.com/larder-go/cache/internal/store"
)

// worker takes fresh tickets of its share of the partitions, which it has to
// itself within the process. Other processes have workers for the same ones;
// Redis gives each ticket to one of them. It never sees a ticket again: what it
// fails with is the keeper's. A worker is used by its own goroutine only.
type worker struct {
	engine   *Engine
	consumer string
	parts    []int
	wake     chan struct{}
	pace     pacer
	probe    int          // index in parts of the last one probed
	busy     map[int]bool // partitions that had as much as was asked for
}

func (e *Engine) newWorker(n int) *worker {
	w := &worker{
		engine: e, consumer: e.name + strconv.Itoa(n), wake: make(chan struct{}, 1), busy: map[int]bool{},
		pace: e.newPacer(),
	}
	for part := n; part < len(e.parts); part += e.o.Workers {
		w.parts = append(w.parts, part)
	}
	return w
}

// run takes tickets until look ends, and finishes what it has until work does.
// While there is more than a batch it does not rest.
func (w *worker) run(look, work context.Context) {
	for look.Err() == nil {
		probing := w.pace.slow() // before the read: another's success may end it at any time
		items, err := w.read(look)
		if err != nil {
			w.engine.failed(look, "read tickets", err)
			w.engine.regroup(look, err)
		}
		if len(items) == 0 && err != nil { // of the sink nothing is known
			pause(look, max(w.engine.o.Interval, w.engine.o.Backoff/10), nil)
			continue
		}
		w.pace.after(!w.engine.deliver(work, items, probing))
		if len(w.busy) == 0 || w.pace.slow() {
			pause(look, w.pace.rest(w.engine.o.Interval), w.pace.unless(w.wake))
		}
	}
}

// read takes tickets, about a batch. While the sink is out of order one is enough
// to find out whether it still is.
func (w *worker) read(ctx context.Context) (items []*item, err error) {
	if !w.pace.slow() {
		return w.ask(ctx, w.share())
	}
	for range w.parts { // not always the same one first
		w.probe = (w.probe + 1) % len(w.parts)
		items, err = w.ask(ctx, []share{{part: w.parts[w.probe], count: 1}})
		if len(items) > 0 || err != nil {
			return items, err
		}
	}
	return nil, nil
}

// share is how many tickets to ask of a partition.
type share struct{ part, count int }

// ask takes tickets and notes which partitions may have more. With an error there
// may be tickets nevertheless, of partitions on other nodes.
func (w *worker) ask(ctx context.Context, shares []share) (items []*item, err error) {
	reads := make([]store.TicketRead, len(shares))
	for i, s := range shares {
		reads[i] = store.TicketRead{Partition: w.engine.parts[s.part], Count: s.count}
	}
	got, err := w.engine.store.ReadTickets(ctx, group, w.consumer, reads)
	clear(w.busy)
	for i, tickets := range got {
		s := shares[i]
		if len(tickets) == s.count {
			w.busy[s.part] = true
		}
		for _, t := range tickets {
			items = append(items, &item{part: s.part, ticket: t.ID, key: t.Key, deliveries: 1})
		}
	}
	return items, err
}

// share divides a batch among the partitions. Those that had as much as was asked
// for share it; the others get a quarter of an even share beside that.
func (w *worker) share() []share {
	size := w.engine.o.BatchSize
	shares := make([]share, len(w.parts))
	for i, part := range w.parts {
		count := size / len(w.parts)
		switch {
		case w.busy[part]:
			count = size / len(w.busy)
		case len(w.busy) > 0:
			count /= 4
		}
		shares[i] = share{part: part, count: max(count, 1)}
	}
	return shares
}

// regroup makes the group anew where Redis has lost it, with all else: it was
// emptied, or replaced by an older copy of itself.
func (e *Engine) regroup(ctx context.Context, err error) {
	if store.NoGroup(err) {
		e.failed(ctx, "make the group", e.store.EnsureGroups(ctx, group, e.parts))
	}
}
