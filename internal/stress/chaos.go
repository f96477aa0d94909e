package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/redistest"
)

// chaosRun is a service whose Redis fails in one way after the other, in an order
// that the seed decides. Its callers shall not notice but by the time that it takes:
// the loader works, so no read fails; the loads fit their limit, so none is refused,
// and never do more run at once, also if the machine stands still for a moment and many
// callers then find an emptied cache; and nobody is served what a write that has
// returned has replaced.
//
// None of the faults voids that last promise (P1). A Redis that comes back empty has
// lost leases and intents with the entries, and what is evicted is lost alike: a
// write ends by removing whatever its key holds by then. A cluster that fails over
// could bring entries back: there a primary fails when its replica has all that it has
// acknowledged, since what a failover undoes is no promise of the cache's.
type chaosRun struct {
	length time.Duration
	seed   uint64
	calm   time.Duration // at least, after each fault; service is full before it is over
	worst  time.Duration // the longest fault
}

const (
	chaosWorkers = 3
	chaosRate    = 250 // requests per second and process
	chaosKeys    = 300
	chaosWrite   = 100 * time.Millisecond // between two writes of a process
	chaosLimit   = 32
	chaosLoadMin = 5 * time.Millisecond
	chaosLoadMax = 20 * time.Millisecond
)

// event is one fault that was made.
type event struct {
	name       string
	begin, end time.Time
	next       time.Time // the next one's beginning
}

func (c chaosRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Chaos, %s, %v, seed %d: %d processes, each %d requests/s and %d writes/s on %d keys, %v to %v to load, load limit %d",
			to.topology, c.length, c.seed, chaosWorkers, chaosRate, time.Second/chaosWrite, chaosKeys, chaosLoadMin, chaosLoadMax, chaosLimit),
		head: []string{"fault", "times", "lasted", "hits meanwhile", "full service after", "the longest"},
	}
	faults, addr := singleFaults, ""
	h := &havoc{target: to, ctx: ctx, random: rand.New(rand.NewPCG(c.seed, 0)), worst: c.worst}
	if to.nodes != nil {
		faults = clusterFaults
	} else {
		h.link = redistest.NewProxy(to.tb, to.addrs[0])
		addr = h.link.Addr()
	}
	p := c.plan(to, addr)
	f, err := launch(ctx, p, chaosWorkers)
	if err != nil {
		return t, err
	}
	h.fleet = f
	defer func() { _ = f.close() }() // also when a fault could not be made
	sums := make(chan reported, 1)
	go func() {
		sum, err := f.round(order{For: c.length})
		sums <- reported{sum, err}
	}()
	events := c.rage(h, faults)
	got := <-sums
	if got.err != nil {
		return t, got.err
	}
	c.tell(t, &got.sum, events)
	return t, nil
}

// reported is what a round ended with.
type reported struct {
	sum report
	err error
}

func (c chaosRun) plan(to target, addr string) plan {
	p := to.plan(plan{
		Job: "chaos", Mode: mixed, Rows: chaosKeys + 1, Callers: 16, Fresh: time.Minute, Rate: chaosRate, Write: chaosWrite,
		LoadMin: chaosLoadMin, LoadMax: chaosLoadMax, Limit: chaosLimit,
	})
	if addr != "" {
		p.Addrs = []string{addr}
	}
	return p
}

// rage makes fault after fault, each of a kind as often as the others, until too
// little time is left for another one and the calm after it. The first is an outage:
// a short round shall have one.
func (c chaosRun) rage(h *havoc, faults []fault) (events []event) {
	end := time.Now().Add(startIn + c.length)
	_ = sleep(h.ctx, startIn+c.calm/2)
	var bag []fault
	for h.ctx.Err() == nil {
		if len(bag) == 0 {
			bag = slices.Clone(faults)
			h.random.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
			if len(events) == 0 {
				first := slices.IndexFunc(bag, func(f fault) bool { return f.out })
				bag[0], bag[first] = bag[first], bag[0]
			}
		}
		// What the others take is known to the millisecond.
		if left := time.Until(end); left < c.worst+c.calm || bag[0].slow && left < 3*c.calm+c.worst {
			break
		}
		e := event{name: bag[0].name, begin: time.Now(), next: end}
		bag[0].make(h)
		e.end = time.Now()
		bag = bag[1:]
		if n := len(events); n > 0 {
			events[n-1].next = e.begin
		}
		events = append(events, e)
		_ = sleep(h.ctx, c.calm+time.Duration(h.random.Int64N(int64(c.calm/2))))
	}
	return events
}

// tell fills the table and compares it with the pass figures.
func (c chaosRun) tell(t *table, sum *report, events []event) {
	byName := map[string][]event{}
	for _, e := range events {
		byName[e.name] = append(byName[e.name], e)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		c.tellFault(t, sum, byName[name])
	}
	o := &sum.Ordeal
	all := sum.Calls.count() + o.Overloaded + sum.Failed
	offered := float64(chaosRate) * (chaosLoadMin + chaosLoadMax).Seconds() / 2
	t.note("%d requests, %.1f %% of them hits; %d errors, %d ErrOverloaded; p50 %v, p99 %v, longest %v",
		all, 100*o.hitsBetween(time.Time{}, time.Now()), sum.Failed, o.Overloaded,
		round(sum.Calls.quantile(0.5)), round(sum.Calls.quantile(0.99)), round(sum.Calls.Max))
	t.note("stale reads: %d of what was promised to all, %d of what was promised to the own process; %d writes, %d more with a queued invalidation",
		sum.Stale, o.OwnStale, sum.Writes, o.Pending)
	t.note("at most %d loads at once in a process, limit %d (offered: %d/s of %v on average, %.1f at once, if every request loads); %d commands unanswered",
		o.Peak, chaosLimit, chaosRate, (chaosLoadMin+chaosLoadMax)/2, offered, sum.Unanswered)
	if sum.Failed > 0 {
		t.note("the first error: %s", sum.Failure)
	}
	t.bounded(ours, sum)
	t.require(sum.Failed == 0, "%d calls failed, the first with: %s", sum.Failed, sum.Failure)
	t.require(sum.Stale == 0, "%d reads were older than a write that had returned", sum.Stale)
	t.require(o.OwnStale == 0, "%d reads were older than a write of their own process", o.OwnStale)
	t.require(o.Peak <= chaosLimit, "%d loads at once in a process, limit %d", o.Peak, chaosLimit)
	t.require(o.Extra == 0, "%d goroutines more after the round than before", o.Extra)
	t.requireQuiet(o.Overloaded == 0, "%d calls were refused though the loads fit the limit", o.Overloaded)
	t.requireQuiet(len(events) > 0 && sum.Writes > 0 && o.Pending > 0, "%d faults, %d writes, %d of them queued: nothing was put to the test", len(events), sum.Writes+o.Pending, o.Pending)
}

// tellFault adds the row of one kind of fault.
func (c chaosRun) tellFault(t *table, sum *report, events []event) {
	var lasted []time.Duration
	var services []time.Duration
	hits := 0.0
	for _, e := range events {
		lasted = append(lasted, e.end.Sub(e.begin))
		hits += sum.Ordeal.hitsBetween(e.begin, e.end) / float64(len(events))
		took, ok := sum.Ordeal.serves(e.end, e.next)
		t.requireQuiet(ok, "%s: service was not full again %v after it", e.name, round(e.next.Sub(e.end)))
		if ok {
			services = append(services, took)
		}
	}
	longest := time.Duration(0)
	if len(services) > 0 {
		longest = slices.Max(services)
	}
	t.add(events[0].name, len(events), middle(lasted), percent(hits), middle(services), longest)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond / 10) }
