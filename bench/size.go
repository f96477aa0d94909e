package main

import (
	"fmt"
	"time"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
)

// size: larger and larger values.
var size = scenario{
	name:  "size",
	about: "The cost of a hit in Redis while values become ten thousand times larger: 1,000 keys, one goroutine. It should become linear.",
	run:   runSize,
	job:   sizeJob,
}

var sizeRows = []string{peers.FloorRow, peers.SameCodec, peers.Default}

const perByte = "ns/B"

func runSize(b *bench) error {
	rows := peers.Named(sizeRows...)
	sizes := []int{100, 1 << 10, 10 << 10, 100 << 10, 1 << 20}
	keys := 1000
	if b.quick {
		keys = 100
	}
	for _, size := range sizes {
		servers, err := b.fillRows(rows, keys, size)
		if err != nil {
			return err
		}
		t := report.NewTable(fmt.Sprintf("values of %d B", size), peers.FloorRow,
			report.Column{Metric: runner.PerOp, Ratio: true}, report.Column{Metric: perByte, Digits: 2}, report.Column{Metric: runner.CPU, Digits: 1, Ratio: true}, report.Column{Metric: runner.Allocs}, report.Column{Metric: loadedShare, Digits: 2})
		err = runner.Interleave(b.count(5), len(rows), func(round, i int) error {
			spec := runner.Spec{Row: rows[i].Name, Goroutines: 1, Keys: keys, Size: size, Round: round, For: b.length(700 * time.Millisecond)}
			s, audit, err := b.measure(servers[rows[i].Name], spec)
			t.Add(rows[i], s, audit)
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
		b.close() // some of them hold a gigabyte
	}
	return nil
}

func sizeJob(c *runner.Child) (runner.Sample, error) {
	s, err := hitJob(c)
	if err == nil {
		s[perByte] = s[runner.PerOp] / float64(c.Spec.Size)
	}
	return s, err
}
