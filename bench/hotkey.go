package main

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/stat"
	"github.com/larder-go/cache/bench/work"
)

// hotkey: one key that everybody asks for, and that expires.
var hotkey = scenario{
	name:  "hotkey",
	about: "One key with a TTL of 1 s, 2,000 requests a second over 4 processes whatever becomes of them, a loader of 50 ms. “slow” are requests that took at least 25 ms from when they were due; a period is a second. “Doubled” are loads, by any process, that began less than half a second after another: an entry that is refreshed early, by XFetch, lives for less than its TTL, and so makes more than one load a second without one of them being too many. The control is the same with a TTL of an hour, in the same round.",
	run:   runHotKey,
	job:   hotKeyJob,
}

var hotRows = []string{peers.Default, peers.FloorRow, "go-redis/cache", "gocache", "sturdyc"}

const (
	hotProcesses = 4
	hotRate      = 500.0 // a second, each process
	slow         = 25 * time.Millisecond
	hotTitle     = "TTL 1 s, 2,000 requests/s, 4 processes"

	loadsEach   = "loads/period"
	doubled     = "doubled loads"
	loadsAll    = "loads"
	slowEach    = "slow/period"
	controlSlow = "control slow/period"
	p99Ms       = "p99 ms"
	controlP99  = "control p99 ms"
	p99Ratio    = "× control"
	longest     = "longest ms"
)

func runHotKey(b *bench) error {
	rows := b.chosen(peers.Named(hotRows...))
	server, err := b.server()
	if err != nil {
		return err
	}
	t := report.NewTable(hotTitle, "",
		report.Column{Metric: doubled, Digits: 0}, report.Column{Metric: loadsEach, Digits: 2}, report.Column{Metric: slowEach, Digits: 2}, report.Column{Metric: controlSlow, Digits: 2}, report.Column{Metric: p99Ms, Digits: 2},
		report.Column{Metric: controlP99, Digits: 2}, report.Column{Metric: p99Ratio, Digits: 2}, report.Column{Metric: longest, Digits: 1})
	d := b.length(10 * time.Second)
	err = runner.Interleave(b.count(2), len(rows), func(round, i int) error {
		spec := runner.Spec{Row: rows[i].Name, Goroutines: 1, Size: work.Nested, Round: round, For: d}
		control, _, err := b.hot(server, spec, time.Hour)
		if err != nil {
			return err
		}
		s, audit, err := b.hot(server, spec, time.Second)
		if err != nil {
			return err
		}
		if control[p99Ms] > 0 {
			s[controlP99], s[p99Ratio], s[controlSlow] = control[p99Ms], s[p99Ms]/control[p99Ms], control[slowEach]
		}
		t.Add(rows[i], s, audit)
		return nil
	})
	if err != nil {
		return err
	}
	b.add(t, rows)
	return nil
}

// hot runs the processes once and makes one sample of theirs: quantiles of all
// requests are those of the worst process, which only makes them larger.
func (b *bench) hot(server *runner.Server, spec runner.Spec, ttl time.Duration) (runner.Sample, runner.Audit, error) {
	if err := server.Admin.FlushAll(context.Background()).Err(); err != nil {
		return nil, runner.Audit{}, err
	}
	spec.Extra = map[string]float64{"ttl": ttl.Seconds()}
	spec.Mode = "TTL " + ttl.String()
	samples, audit, err := b.measureAll(server, hotProcesses, spec, nil)
	all := runner.Sample{doubled: countDoubled(samples, ttl)}
	for _, s := range samples {
		for _, sum := range []string{runner.Ops, loadsEach, slowEach} {
			all[sum] += s[sum]
		}
		for _, worst := range []string{p99Ms, longest} {
			all[worst] = max(all[worst], s[worst])
		}
	}
	return all, audit, err
}

// loadAt names the figure that is when the i-th load of a process began, in us.
func loadAt(i int) string { return "load " + strconv.Itoa(i) }

// countDoubled is how many loads began less than half of ttl after another.
func countDoubled(samples []runner.Sample, ttl time.Duration) (n float64) {
	var began []float64
	for _, s := range samples {
		for i := range int(s[loadsAll]) {
			began = append(began, s[loadAt(i)])
		}
	}
	slices.Sort(began)
	for i := 1; i < len(began); i++ {
		if began[i]-began[i-1] < float64(min(ttl, time.Second).Microseconds())/2 {
			n++
		}
	}
	return n
}

// hotKeyJob gets the key once before it begins.
func hotKeyJob(c *runner.Child) (runner.Sample, error) {
	var mu sync.Mutex
	var loads []int64 // when they began
	source := work.Instant(c.Spec.Size)
	ttl := time.Duration(c.Spec.Extra["ttl"] * float64(time.Second))
	p, err := open(c, peers.Env{Fresh: ttl, Load: func(ctx context.Context, key string) (work.Doc, error) {
		mu.Lock()
		loads = append(loads, time.Now().UnixMicro())
		mu.Unlock()
		time.Sleep(slowLoad)
		return source(ctx, key)
	}})
	if err != nil {
		return nil, err
	}
	request := func(int) (bool, error) {
		var doc work.Doc
		return false, p.Get(context.Background(), work.Key(0), &doc)
	}
	for range 5 {
		if _, err := request(0); err != nil {
			return nil, err
		}
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	mu.Lock()
	loads = nil
	mu.Unlock()
	arrivals := openLoop(c.Began(), hotRate, c.Spec.For, request)
	s := c.Stop(int64(len(arrivals)))
	periods := c.Spec.For.Seconds()
	var times stat.Histogram
	for _, a := range arrivals {
		if a.err != nil {
			return nil, a.err
		}
		times.Record(a.took)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, at := range loads {
		s[loadAt(i)] = float64(at)
	}
	s[loadsAll] = float64(len(loads))
	s[loadsEach] = s[loadsAll] / periods
	s[slowEach] = float64(times.Above(slow)) / periods
	s[p99Ms], s[longest] = millis(times.Quantile(0.99)), millis(times.Largest)
	return s, nil
}
