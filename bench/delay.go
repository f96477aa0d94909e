package main

import (
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
	"github.com/larder-go/cache/internal/redistest"
)

// delay: hits in a Redis that is a millisecond away, where a round trip too many
// shows.
var delay = scenario{
	name:  "delay",
	about: "A hit in Redis as in l2hit, through a proxy that delays each way by 1 ms: how many round trips, and how long they wait for one another.",
	run:   runDelay,
	job:   hitJob,
}

var delayRows = []string{peers.FloorRow, peers.SameCodec, peers.Default, "AutoPipeline", "go-redis/cache", "rueidis"}

const oneWay = time.Millisecond

func runDelay(b *bench) error {
	rows := b.chosen(peers.Named(delayRows...))
	servers, err := b.fillRows(rows, b.some(hitKeys), work.Nested)
	if err != nil {
		return err
	}
	proxies := map[string]*redistest.Proxy{}
	for name, s := range servers {
		proxy, err := redistest.ListenProxy(s.Addr())
		if err != nil {
			return err
		}
		defer proxy.Close()
		proxy.Delay(oneWay)
		proxies[name] = proxy
	}
	for _, callers := range []int{1, 4, 16} {
		t := report.NewTable(title(callers), peers.FloorRow,
			report.Column{Metric: runner.P50, Ratio: true}, report.Column{Metric: runner.P99, Ratio: true}, report.Column{Metric: runner.Rate}, report.Column{Metric: loadedShare, Digits: 2})
		err := runner.Interleave(b.count(7), len(rows), func(round, i int) error {
			row := rows[i]
			spec := runner.Spec{
				Row: row.Name, Addr: proxies[row.Name].Addr(), Goroutines: callers, Keys: b.some(hitKeys), Size: work.Nested,
				Round: round, For: b.length(600 * time.Millisecond),
			}
			s, audit, err := b.measure(servers[row.Name], spec)
			t.Add(row, s, audit)
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
	}
	return nil
}
