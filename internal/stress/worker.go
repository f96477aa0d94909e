package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/larder-go/cache"
)

// planVariable holds a worker's plan in its environment. It is what makes a
// process a worker.
const planVariable = "CACHE_STRESS_PLAN"

// worker is one process of readers and writers.
type worker struct {
	plan
	ledger  *ledger
	client  redis.UniversalClient
	subject subject
	asked   atomic.Int64 // reads of entries

	loading, peak atomic.Int64 // loads that run, and the most that ran at once
	slowFrom      atomic.Int64 // when plan.SlowAt is, in Unix time in nanoseconds; 0: no round yet

	mu         sync.Mutex // protects following
	report     report     // of the round that runs
	unanswered int64      // the subject's count when the round began
}

// jobs are what a round can be.
var jobs = map[string]func(w *worker, ctx context.Context, o order){
	"history": (*worker).history,
	"herd":    (*worker).herd,
	"hotkey":  (*worker).hotKey,
	"storm":   (*worker).storm,
	"behind":  (*worker).behind,
	"chaos":   (*worker).chaos,
	"near":    (*worker).near,
	"absorb":  (*worker).absorb,
}

// isWorker reports whether this process was started as a worker.
func isWorker() bool { return os.Getenv(planVariable) != "" }

// work is a worker's life: it connects, warms up, says that it is ready by an
// empty report, and then answers each order on in by a report on out, a line
// of JSON each. It returns when in ends; when that happens during a round, the
// round is cut short.
func work(in io.Reader, out io.Writer) (err error) {
	w := &worker{}
	if err := json.Unmarshal([]byte(os.Getenv(planVariable)), &w.plan); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.subject.close(), w.client.Close(), w.ledger.close()) }()
	ctx, cancel := context.WithCancel(context.Background())
	orders := make(chan order)
	// Orders are read beside the rounds, for the sake of their end: it is how a
	// worker learns that its parent is gone.
	go func() {
		defer cancel()
		defer close(orders)
		decoder := json.NewDecoder(in)
		for {
			var o order
			if decoder.Decode(&o) != nil {
				return
			}
			orders <- o
		}
	}()
	w.warmUp(ctx)
	reports := json.NewEncoder(out)
	w.take() // what the warm-up counted
	for err := reports.Encode(report{}); ; err = reports.Encode(w.take()) {
		if err != nil {
			return err
		}
		o, ok := <-orders
		if !ok {
			return nil
		}
		jobs[w.Job](w, ctx, o)
	}
}

// take returns the report and begins another. Loads that nobody waits for may
// still be running; they count in the round in which they end.
func (w *worker) take() report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, n := w.report, w.subject.unanswered()
	r.Unanswered, w.unanswered = n-w.unanswered, n
	w.report = report{}
	return r
}

// open makes what the plan says.
func (w *worker) open() (err error) {
	if jobs[w.Job] == nil {
		return errors.New("no such job: " + strconv.Quote(w.Job))
	}
	if w.ledger, err = openLedger(w.Ledger, w.Rows); err != nil {
		return err
	}
	o := clientOptions(w.Addrs)
	cache.Tune(o)
	w.client = connect(o, w.Cluster)
	w.client.AddHook(asking{&w.asked, w.Name + ":"})
	w.subject, err = newSubject(&w.plan, w.client, w.load)
	return err
}

// clientOptions are those of a client with go-redis' defaults, pools included,
// and without a handshake that only some hosted servers answer.
func clientOptions(addrs []string) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs:                    addrs,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// connect makes the client. A cluster is told by the topology and not by the
// number of addresses, as NewUniversalClient would.
func connect(o *redis.UniversalOptions, cluster bool) redis.UniversalClient {
	if !cluster {
		return redis.NewClient(o.Simple())
	}
	c := o.Cluster()
	c.ClusterStateReloadInterval = time.Second
	return redis.NewClusterClient(c)
}

// warmUp opens the connections that the callers will use, and sends the scripts,
// so that no round pays for either. All callers at once, because a pool opens a
// connection only when the others are taken; several times, because the first
// of them find the others still dialling. Its key and its loads count nowhere.
func (w *worker) warmUp(ctx context.Context) {
	for range 5 {
		var g sync.WaitGroup
		for range w.Callers {
			g.Go(func() { _, _ = w.subject.get(ctx, w.key(w.warmKey())) })
		}
		g.Wait()
	}
	if w.Job == "chaos" { // the service has run for a while
		w.fillAll(ctx)
	}
}

// key is the name of a row in the cache.
func (w *worker) key(row int) string { return strconv.Itoa(row) }

// load is the loader: it reads first and takes its time afterwards, which makes
// the race against a write as wide as the load is long.
func (w *worker) load(ctx context.Context, key string) (int64, error) {
	row, err := strconv.Atoi(key)
	if err != nil {
		return 0, err
	}
	if n, ok := ctx.Value(loadsKey{}).(*atomic.Int64); ok {
		n.Add(1)
	}
	begin, running := time.Now(), w.loading.Add(1)
	defer w.loading.Add(-1)
	for peak := w.peak.Load(); peak < running && !w.peak.CompareAndSwap(peak, running); peak = w.peak.Load() {
	}
	v := w.ledger.read(row)
	err = sleep(ctx, w.loadTime())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Loads++
	if w.Trace {
		w.report.Spans = append(w.report.Spans, span{Begin: begin, End: time.Now()})
	}
	return v, err
}

// loadTime is how long the load that begins now takes.
func (w *worker) loadTime() time.Duration {
	if w.SlowAt == 0 {
		return w.LoadMin + rand.N(w.LoadMax-w.LoadMin+1)
	}
	if slow := w.slowFrom.Load(); slow != 0 && time.Now().UnixNano() >= slow {
		return w.LoadMax
	}
	return w.LoadMin
}

// loadsKey is where a call's context has the number of loads that were begun in its name.
type loadsKey struct{}

// get is one call of the subject, which counts the loads that are begun in its name.
func (w *worker) get(ctx context.Context, row int, r *report) (int64, error) {
	var n atomic.Int64
	v, err := w.subject.get(context.WithValue(ctx, loadsKey{}, &n), w.key(row))
	r.MostLoads = max(r.MostLoads, n.Load())
	return v, err
}

// read is one call that the run is about, checked against the floor.
func (w *worker) read(ctx context.Context, row int, r *report) {
	floor, begin := w.ledger.floor(row), time.Now()
	v, err := w.get(ctx, row, r)
	took := time.Since(begin)
	if err != nil {
		r.fail(ctx, err)
		return
	}
	r.Gets++
	r.Calls.add(took)
	if v < floor {
		r.Stale++
	}
	if w.SlowFrom > 0 && took >= w.SlowFrom {
		r.Slow++
	}
}

// write changes a record and tells the ledger when all of it has returned.
func (w *worker) write(ctx context.Context, row int, r *report) {
	var v int64
	if err := w.subject.change(ctx, w.key(row), func() { v = w.ledger.write(row) }); err != nil {
		r.fail(ctx, err) // the cache has promised nothing about it: it sets no floor
		return
	}
	w.ledger.finish(row, v)
	r.Writes++
}

// add makes a goroutine's results part of the worker's report.
func (w *worker) add(r *report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.merge(r)
}
