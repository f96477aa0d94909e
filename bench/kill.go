package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/stat"
	"github.com/larder-go/cache/bench/work"
)

// kill: Redis dies, and comes back empty.
var kill = scenario{
	name:  "kill",
	about: "Redis is killed 3 s into a run of 10 s with 400 requests a second, whatever becomes of them, and started again, empty, at 6 s. The loader takes 20 ms. “dying” is from the kill until the breaker opens, for rows without one half a second; “dead” from then on. What the loader itself took then stands beside it, for a sleep of 20 ms takes longer where others sleep, too; of one key two loads are taken off, for who comes during one that began before waits for the next. “back” is when the first 100 ms passed in which nine of ten were hits, after the restart.",
	run:   runKill,
	job:   killJob,
}

var killRows = []string{peers.Default, peers.FloorRow, "go-redis/cache", "gocache"}

const (
	keysTitle, oneKeyTitle = "100 keys", "one key"

	killRate = 400.0
	killLoad = 20 * time.Millisecond

	failedShare = "errors %"
	aliveP99    = "alive p99 ms"
	dyingP99    = "dying p99 ms"
	deadP99     = "dead p99 ms"
	deadWorst   = "dead longest ms"
	loaderP99   = "loader p99 ms"
	deadExtra   = "dead p99 − loader's ms"
	backAfter   = "back after ms"
	openedAfter = "breaker open after ms"
)

// ordeal is a run's timetable: d long, killed after three tenths, restarted after
// six.
type ordeal struct{ killAt, restartAt, end time.Duration }

func ordealOf(d time.Duration) ordeal { return ordeal{d * 3 / 10, d * 6 / 10, d} }

func runKill(b *bench) error {
	rows := b.chosen(peers.Named(killRows...))
	for _, mode := range []struct {
		title string
		keys  int
	}{{keysTitle, 100}, {oneKeyTitle, 1}} {
		t := report.NewTable(mode.title, "",
			report.Column{Metric: failedShare, Digits: 2}, report.Column{Metric: aliveP99, Digits: 1}, report.Column{Metric: openedAfter},
			report.Column{Metric: dyingP99, Digits: 1}, report.Column{Metric: deadP99, Digits: 1}, report.Column{Metric: deadWorst, Digits: 1},
			report.Column{Metric: loaderP99, Digits: 1}, report.Column{Metric: deadExtra, Digits: 1}, report.Column{Metric: backAfter})
		d := 10 * time.Second
		if b.quick {
			d = 3 * time.Second
		}
		err := runner.Interleave(b.count(3), len(rows), func(round, i int) error {
			s, err := b.killed(runner.Spec{Row: rows[i].Name, Goroutines: 1, Keys: mode.keys, Size: work.Nested, Round: round, Mode: mode.title, For: d})
			t.Add(rows[i], s, runner.Audit{})
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
	}
	b.note("The floor's client has go-redis' default timeouts, as do the peers'; ours has those of cache.Tune. A request that fails counts as an error whatever the caller would do next.")
	return nil
}

// killed runs one child on a Redis of its own, which it kills and restarts.
func (b *bench) killed(spec runner.Spec) (runner.Sample, error) {
	server, err := b.server()
	if err != nil {
		return nil, err
	}
	var at time.Duration
	plan := ordealOf(spec.For)
	samples, _, err := b.measureAll(server, 1, spec, func(began time.Time) error {
		time.Sleep(time.Until(began.Add(plan.killAt)))
		if err := server.Kill(); err != nil {
			return err
		}
		time.Sleep(time.Until(began.Add(plan.restartAt)))
		err := server.Restart(context.Background())
		at = time.Since(began)
		return err
	})
	if err != nil || len(samples) == 0 {
		return runner.Sample{}, err
	}
	s := samples[0]
	s[backAfter] -= millis(at)
	return s, nil
}

// killJob gets all keys before it begins.
func killJob(c *runner.Child) (runner.Sample, error) {
	source := work.Instant(c.Spec.Size)
	var mu sync.Mutex
	var opened time.Time
	var loads []arrival
	p, err := open(c, peers.Env{
		Tuned: true,
		Load: func(ctx context.Context, key string) (work.Doc, error) {
			began := time.Now()
			time.Sleep(killLoad)
			mu.Lock()
			defer mu.Unlock()
			loads = append(loads, arrival{due: began.Sub(c.Began()), took: time.Since(began)})
			return source(ctx, key)
		},
		Breaker: func(open bool) {
			mu.Lock()
			defer mu.Unlock()
			if open && opened.IsZero() {
				opened = time.Now()
			}
		},
	})
	if err != nil {
		return nil, err
	}
	keys := work.Keys(c.Spec.Keys)
	if err := getAll(p, keys); err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	arrivals := openLoop(c.Began(), killRate, c.Spec.For, func(n int) (bool, error) {
		var doc work.Doc
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := p.Get(ctx, keys[n%len(keys)], &doc)
		if err == nil && doc.ID != int64(n%len(keys)) {
			err = fmt.Errorf("got the document of %d", doc.ID)
		}
		return false, err
	})
	s := c.Stop(int64(len(arrivals)))
	mu.Lock()
	defer mu.Unlock()
	plan, dying := ordealOf(c.Spec.For), 500*time.Millisecond
	if !opened.IsZero() {
		dying = max(opened.Sub(c.Began())-plan.killAt, 0)
		s[openedAfter] = millis(dying)
	}
	plan.phases(s, arrivals, dying)
	var loader stat.Histogram
	for _, l := range loads {
		if l.due >= plan.killAt+dying && l.due < plan.restartAt {
			loader.Record(l.took)
		}
	}
	s[loaderP99] = millis(loader.Quantile(0.99))
	s[deadExtra] = s[deadP99] - s[loaderP99]
	if c.Spec.Keys == 1 {
		s[deadExtra] -= s[loaderP99]
	}
	return s, nil
}

// phases adds what the requests of each phase took. A request belongs to the phase
// in which it was due.
func (o ordeal) phases(s runner.Sample, arrivals []arrival, dying time.Duration) {
	var alive, during, dead stat.Histogram
	failed := 0
	for _, a := range arrivals {
		if a.err != nil {
			failed++
		}
		switch {
		case a.due < o.killAt:
			if a.due+a.took < o.killAt {
				alive.Record(a.took)
			} else {
				during.Record(a.took) // it was under way at the kill
			}
		case a.due < o.killAt+dying:
			during.Record(a.took)
		case a.due < o.restartAt:
			dead.Record(a.took)
		}
	}
	s[failedShare] = 100 * float64(failed) / float64(len(arrivals))
	s[aliveP99], s[dyingP99] = millis(alive.Quantile(0.99)), millis(during.Quantile(0.99))
	s[deadP99], s[deadWorst] = millis(dead.Quantile(0.99)), millis(dead.Largest)
	s[backAfter] = millis(o.hitsBack(arrivals))
}

// hitsBack is the beginning of the first 100 ms after the restart in which nine of
// ten requests were answered without a load: in half of its time.
func (o ordeal) hitsBack(arrivals []arrival) time.Duration {
	const window = 100 * time.Millisecond
	for from := o.restartAt; from < o.end; from += window {
		hits, all := 0, 0
		for _, a := range arrivals {
			if a.due < from || a.due >= from+window {
				continue
			}
			all++
			if a.err == nil && a.took < killLoad/2 {
				hits++
			}
		}
		if all > 0 && hits*10 >= all*9 {
			return from
		}
	}
	return o.end
}
