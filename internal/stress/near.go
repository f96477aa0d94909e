package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// near is the library with an L1, nearNaive the control.
const (
	near      = "same, with an L1"
	nearNaive = "naive, with an L1"
)

const (
	nearBound = 2 * time.Second        // how old a hit in an L1 may be
	nearTTL   = 2 * time.Second        // the default
	nearSlack = 100 * time.Millisecond // floors are noted so often
)

// nearby is the library with an L1. The client and the L1 are the worker's own.
type nearby struct {
	library
	l1 *cache.L1
}

func newNearby(p *plan, client redis.UniversalClient, load loader) (subject, error) {
	l, err := cache.NewL1(client, cache.L1Options{TTL: nearTTL})
	if err != nil {
		return nil, err
	}
	class := &cache.TTL{Fresh: p.Fresh, Jitter: -1}
	c, err := cache.New(client, p.Name, cache.Aside[int64](), cache.Expires(class), cache.WithL1(l))
	if err != nil {
		return nil, err
	}
	guarded := func() bool { return false }
	return nearby{library{cache: c, bound: c.ReadThrough(cache.Loader[int64](load)), guarded: guarded}, l}, nil
}

func (n nearby) close() error {
	err := n.library.close()
	if closed := n.l1.Close(); err == nil {
		err = closed
	}
	return err
}

// mapped is the control: a map that messages delete from, and that reads fill
// whatever was deleted meanwhile.
type mapped struct {
	aside
	sub *redis.PubSub

	mu     sync.Mutex // protects following
	values map[string]int64
}

func newMapped(a aside) subject {
	m := &mapped{aside: a, sub: a.client.Subscribe(context.Background(), a.prefix+"i"), values: map[string]int64{}}
	go func() { // ends with the subscription
		for message := range m.sub.Channel() {
			m.drop(message.Payload)
		}
	}()
	return m
}

func (m *mapped) drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
}

func (m *mapped) get(ctx context.Context, key string) (int64, error) {
	m.mu.Lock()
	v, ok := m.values[key]
	m.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := m.aside.get(ctx, key)
	if err == nil {
		time.AfterFunc(fillsAfter, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.values[key] = v
		})
	}
	return v, err
}

// fillsAfter is when the control puts into its map what it has read: a moment later, as a
// busy process does, while its readers go on. Dozens of changes of a short run fall into
// that: with a tenth of it some runs saw nothing.
const fillsAfter = 20 * time.Millisecond

func (m *mapped) change(ctx context.Context, key string, write func()) error {
	err := m.aside.change(ctx, key, write)
	if err == nil {
		err = m.client.Publish(ctx, m.prefix+"i", key).Err()
	}
	m.drop(key)
	return err
}

func (m *mapped) close() error { return m.sub.Close() }

// near reads and writes like history. A read may be as old as the bound says, but
// no older than what its own process has written.
func (w *worker) near(ctx context.Context, o order) {
	sleepUntil(ctx, o.Start)
	end := o.Start.Add(o.For)
	own := make([]atomic.Int64, w.keys())
	floors := newFloors(w.ledger, w.keys())
	var g sync.WaitGroup
	g.Go(func() { floors.keep(ctx, end) })
	for range w.Callers {
		g.Go(func() {
			var r report
			for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
				row := i * 7919 % w.keys()
				floor := max(own[row].Load(), floors.at(time.Now(), row))
				v, err := w.get(ctx, row, &r)
				switch {
				case err != nil:
					r.fail(ctx, err)
				case v < floor:
					r.Stale++
				}
				r.Gets++
				_ = sleep(ctx, 20*time.Microsecond)
			}
			w.add(&r)
		})
	}
	g.Go(func() {
		var r report
		for i := w.Worker; time.Now().Before(end) && sleep(ctx, w.Write/2) == nil; i += w.Workers {
			row, v := i%w.keys(), int64(0)
			if err := w.subject.change(ctx, w.key(row), func() { v = w.ledger.write(row) }); err != nil {
				r.fail(ctx, err)
				continue
			}
			w.ledger.finish(row, v)
			own[row].Store(max(v, own[row].Load()))
			r.Writes++
		}
		w.add(&r)
	})
	g.Wait()
}

// floors are the ledger's, as they were a bound ago.
type floors struct {
	ledger *ledger
	mu     sync.Mutex // protects following
	noted  []noted    // oldest first
}

type noted struct {
	at   time.Time
	rows []int64
}

func newFloors(l *ledger, rows int) *floors {
	f := &floors{ledger: l}
	f.noted = []noted{{rows: make([]int64, rows)}}
	return f
}

// keep notes the floors again and again.
func (f *floors) keep(ctx context.Context, end time.Time) {
	for time.Now().Before(end) && sleep(ctx, nearSlack) == nil {
		n := noted{rows: make([]int64, len(f.noted[0].rows))}
		for row := range n.rows {
			n.rows[row] = f.ledger.floor(row)
		}
		n.at = time.Now()
		f.mu.Lock()
		f.noted = append(f.noted, n)
		for len(f.noted) > 1 && n.at.Sub(f.noted[1].at) > nearBound {
			f.noted = f.noted[1:]
		}
		f.mu.Unlock()
	}
}

// at is the floor of a read that begins now.
func (f *floors) at(now time.Time, row int) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if oldest := f.noted[0]; now.Sub(oldest.at) > nearBound {
		return oldest.rows[row]
	}
	return 0
}

// nearRun is readers and writers with an L1 each, on so many keys that each changes
// once in some seconds.
type nearRun struct {
	length time.Duration
	gets   int64
}

const nearRows = 500

func (n nearRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("L1, %s, %d processes of 4 readers and a writer; stale is older than %v or than an own write",
			to.topology, historyWorkers, nearBound),
		head: []string{"", "seconds", "gets", "stale", "writes", "loads", "unanswered", "failed"},
	}
	for _, mode := range []string{nearNaive, near} {
		if err := to.flush(ctx); err != nil {
			return t, err
		}
		p := to.plan(plan{
			Job: "near", Mode: mode, Rows: nearRows + 1, Callers: 4, Fresh: time.Minute,
			LoadMax: 3 * time.Millisecond, Write: 40 * time.Millisecond,
		})
		sum, err := once(ctx, p, historyWorkers, order{For: n.length})
		if err != nil {
			return t, err
		}
		t.add(mode, n.length.Seconds(), sum.Gets, sum.Stale, sum.Writes, sum.Loads, sum.Unanswered, sum.Failed)
		t.failures(mode, &sum)
		if mode == nearNaive {
			t.requireQuiet(sum.Stale > 0, "%s: nothing stale, so this run is blind", mode)
			continue
		}
		t.require(sum.Stale == 0, "%s: %d stale reads", mode, sum.Stale)
		t.requireQuiet(sum.Gets >= n.gets && sum.Writes > 0, "%s: %d gets, %d writes", mode, sum.Gets, sum.Writes)
	}
	return t, nil
}

// absorbRun is one hot key that many processes read: Redis is asked for it a few
// times a second in all.
type absorbRun struct {
	workers int
	rate    int // reads a second, of all of them
	length  time.Duration
}

// absorbed is the most that Redis is asked for the key: 20 processes whose L1s read
// it again in the last quarter of its time there, and the room between.
const absorbed = 25

func (a absorbRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Hot key behind L1s, %s, %d processes, %d reads/s wanted", to.topology, a.workers, a.rate),
		head:  []string{"", "seconds", "gets/s", "asked of Redis/s", "loads", "failed"},
	}
	p := to.plan(plan{Job: "absorb", Mode: near, Rows: 1 + 1, Callers: 1, Fresh: time.Hour, Rate: a.rate / a.workers})
	sum, err := once(ctx, p, a.workers, order{For: a.length})
	if err != nil {
		return t, err
	}
	seconds := a.length.Seconds()
	t.add(near, seconds, int64(float64(sum.Gets)/seconds), float64(sum.Asked)/seconds, sum.Loads, sum.Failed)
	t.failures(near, &sum)
	t.requireQuiet(float64(sum.Asked)/seconds <= absorbed, "%.1f reads a second, wants %d", float64(sum.Asked)/seconds, absorbed)
	t.require(sum.Gets > 100*sum.Asked, "%d gets asked Redis %d times", sum.Gets, sum.Asked)
	return t, nil
}

// absorb reads the key at the worker's rate, in batches of a millisecond. What the
// first second asks for does not count: the L1 is not in use before.
func (w *worker) absorb(ctx context.Context, o order) {
	sleepUntil(ctx, o.Start)
	var r report
	batch := func(until time.Time, r *report) {
		began, done := time.Now(), 0
		for time.Now().Before(until) && sleep(ctx, time.Millisecond) == nil {
			for want := int(time.Since(began).Seconds() * float64(w.Rate)); done < want; done++ {
				w.read(ctx, o.Key, r)
			}
		}
	}
	batch(time.Now().Add(1500*time.Millisecond), &report{})
	before := w.asked.Load()
	batch(time.Now().Add(o.For), &r)
	r.Asked = w.asked.Load() - before
	w.add(&r)
}

// asking counts the reads of entries that a client sends.
type asking struct {
	n      *atomic.Int64
	prefix string
}

func (a asking) count(cmd redis.Cmder) {
	if args := cmd.Args(); cmd.Name() == "get" && len(args) > 1 && strings.HasPrefix(fmt.Sprint(args[1]), a.prefix) {
		a.n.Add(1)
	}
}

func (a asking) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (a asking) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		a.count(cmd)
		return next(ctx, cmd)
	}
}

func (a asking) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			a.count(cmd)
		}
		return next(ctx, cmds)
	}
}
