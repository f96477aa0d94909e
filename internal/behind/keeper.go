package behind

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/larder-go/cache/internal/store"
)

const (
	pendingPage   = 512              // tickets looked at per partition and round
	forgetWorkers = 10 * time.Minute // after which an idle consumer's name is removed
	lastLook      = 500 * time.Millisecond
)

// keeper claims the tickets of failed deliveries and of workers that are gone,
// so that the workers never wait for what has failed before, and looks after
// what is left over. It is used by its own goroutine only.
type keeper struct {
	engine   *Engine
	consumer string
	after    []string // where the next page of pending tickets of a partition begins
	pace     pacer
	swept    time.Time
	sampled  time.Time
}

func (e *Engine) newKeeper() *keeper {
	return &keeper{
		engine: e, consumer: e.name + "k", after: make([]string, len(e.parts)),
		swept: time.Now(), pace: e.newPacer(),
	}
}

// run does so at least twice per back-off and twice a second until look ends, and finishes what it has until work does.
func (k *keeper) run(look, work context.Context) {
	every := max(min(k.engine.o.Backoff/2, lastLook), time.Millisecond)
	for look.Err() == nil {
		if due(&k.sampled, k.engine.o.SampleEvery) {
			k.sample(look)
		}
		if due(&k.swept, k.engine.o.SweepEvery) {
			k.sweep(look)
		}
		probing := k.pace.slow()
		if items := k.claim(look); len(items) > 0 {
			k.pace.after(!k.engine.deliver(work, items, probing))
		}
		pause(look, k.pace.rest(every), k.pace.unless(k.engine.nudge))
	}
}

// due reports whether every is over since last, which is then now.
func due(last *time.Time, every time.Duration) bool {
	now := time.Now()
	if now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}

// sample tells the hook how much waits.
func (k *keeper) sample(ctx context.Context) {
	hook := k.engine.o.Hooks.Sample
	if hook == nil {
		return
	}
	s, err := k.engine.Sample(ctx)
	if err != nil {
		k.engine.failed(ctx, "read the gauges", err)
		return
	}
	hook(s)
}

// claim takes what is due: a batch at most, or one ticket while the sink is out
// of order, since each delivery counts as a try. What was delivered least often
// comes first, otherwise in any order: bad values that always met in the front
// of a batch could keep the others from ever being written.
func (k *keeper) claim(ctx context.Context) (items []*item) {
	pages, err := k.pending(ctx)
	k.engine.failed(ctx, "list pending tickets", err)
	most := k.engine.o.BatchSize
	if k.pace.slow() {
		most = 1
	}
	for _, part := range rand.Perm(len(pages)) {
		items = append(items, k.take(ctx, part, pages[part], most-len(items))...)
	}
	rand.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	slices.SortStableFunc(items, func(a, b *item) int { return cmp.Compare(a.deliveries, b.deliveries) })
	return items
}

// pending reads a page of each partition and begins anew after the last.
func (k *keeper) pending(ctx context.Context) ([][]store.Pending, error) {
	e := k.engine
	reads := make([]store.PendingRead, len(e.parts))
	for part, p := range e.parts {
		reads[part] = store.PendingRead{Partition: p, After: k.after[part]}
	}
	// The shortest rest of all: which of them are due is decided one by one.
	shortest := min(e.o.Backoff*8/10, e.o.takeover())
	pages, err := e.store.PendingTickets(ctx, group, shortest, pendingPage, reads)
	for part, page := range pages {
		k.after[part] = ""
		if len(page) == pendingPage {
			k.after[part] = page[len(page)-1].ID
		}
	}
	return pages, err
}

// take claims those tickets of a page that are due, at most so many: those
// delivered least often, for they are the most likely to be innocent.
func (k *keeper) take(ctx context.Context, part int, page []store.Pending, most int) (items []*item) {
	e := k.engine
	page = slices.DeleteFunc(page, func(p store.Pending) bool {
		return p.Idle < k.rest(p) || e.flight.has(part, p.ID)
	})
	slices.SortStableFunc(page, func(a, b store.Pending) int { return cmp.Compare(a.Deliveries, b.Deliveries) })
	deliveries := map[string]int{}
	least := e.o.MaxBackoff + e.o.takeover()
	var ids []string
	for _, p := range page[:min(most, len(page))] {
		ids, least = append(ids, p.ID), min(least, k.rest(p))
		deliveries[p.ID] = p.Deliveries + 1
	}
	// Of two processes that saw the same ticket the second finds it claimed just
	// now: least protects it.
	tickets, err := e.store.Claim(ctx, group, k.consumer, e.parts[part], least, ids)
	e.failed(ctx, "claim tickets", err)
	for _, t := range tickets {
		items = append(items, &item{part: part, ticket: t.ID, key: t.Key, deliveries: deliveries[t.ID]})
	}
	return items
}

// rest is how long a ticket must be idle: its back-off if this process has
// failed with it, and if it is another's, so long that the other must be gone.
func (k *keeper) rest(p store.Pending) time.Duration {
	rest := k.engine.o.retryAfter(p.ID, p.Deliveries)
	if !strings.HasPrefix(p.Consumer, k.engine.name) {
		rest = max(rest, k.engine.o.takeover())
	}
	return rest
}

// sweep looks after what is left over: dirty keys that nobody has a ticket for,
// and names of workers that are gone.
func (k *keeper) sweep(ctx context.Context) {
	e := k.engine
	gauges, err := e.store.Gauges(ctx, e.parts)
	e.failed(ctx, "read the gauges", err)
	for part, g := range gauges {
		if g.Dirty > 0 && !g.Now.IsZero() {
			before := uint64(g.Now.Add(-e.o.SweepAge).UnixMicro())
			_, err := e.store.Sweep(ctx, group, e.parts[part], before)
			e.failed(ctx, "sweep", err)
		}
		_, err := e.store.PruneConsumers(ctx, group, e.parts[part], forgetWorkers)
		e.failed(ctx, "prune consumers", err)
	}
}
