package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/larder-go/cache/bench/codecs"
	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
)

// codec: what encoding costs, what it breaks, and what it weighs.
var codec = scenario{
	name:  "codec",
	about: "Encoders on the documents of the other scenarios, one goroutine; then odd values there and back, and what the encoder adds to a program (stripped, beyond fmt).",
	run:   runCodec,
	job:   codecJob,
}

// intoAny is the table in which the documents are decoded into a map of anything.
const intoAny = "nested, 1 KiB, read into map[string]any"

// Names of figures of codecs.
const (
	encodeNs     = "encode ns"
	decodeNs     = "decode ns"
	encodeAllocs = "encode allocs"
	decodeAllocs = "decode allocs"
	encodeBytes  = "encode B"
	decodeBytes  = "decode B"
	encodedSize  = "size B"
	deepMs       = "9,990 levels ms"
	lost         = "odd values lost"
	modules      = "modules"
	binaryKB     = "binary KB"
)

func runCodec(b *bench) error {
	var rows []peers.Row
	for _, c := range codecs.All() {
		row := peers.Row{Name: c.Name, About: c.Module, Kind: peers.Other}
		switch c.Name {
		case codecs.Floor:
			row.Kind = peers.Floor
		case codecs.Ours:
			row.Kind = peers.Ours
		}
		rows = append(rows, row)
	}
	for _, doc := range []struct {
		title string
		size  int
	}{{"small flat, 100 B", work.Flat}, {"nested, with a map, 1 KiB", work.Nested}, {"list, 100 KiB", work.List}, {intoAny, work.Nested}} {
		t := report.NewTable(doc.title, codecs.Floor,
			report.Column{Metric: encodeNs, Ratio: true}, report.Column{Metric: decodeNs, Ratio: true},
			report.Column{Metric: encodeAllocs}, report.Column{Metric: encodeBytes}, report.Column{Metric: decodeAllocs}, report.Column{Metric: decodeBytes},
			report.Column{Metric: encodedSize})
		err := runner.Interleave(b.count(7), len(rows), func(round, i int) error {
			spec := runner.Spec{Row: rows[i].Name, Goroutines: 1, Size: doc.size, Round: round, For: b.length(250 * time.Millisecond), Mode: doc.title}
			s, _, err := b.alone(spec)
			t.Add(rows[i], s, runner.Audit{})
			return err
		})
		if err != nil {
			return err
		}
		b.add(t, rows)
	}
	return b.oddAndHeavy(rows)
}

// alone measures a child that needs no Redis.
func (b *bench) alone(spec runner.Spec) (runner.Sample, runner.Audit, error) {
	began := time.Now()
	spec.Addr = "none"
	p, err := runner.Start(b.complete(nil, spec))
	if err != nil {
		return nil, runner.Audit{}, err
	}
	if err := p.Go(); err != nil {
		return nil, runner.Audit{}, err
	}
	s, err := p.Result()
	if err != nil {
		return nil, runner.Audit{}, err
	}
	b.say(spec, began)
	return s, runner.Audit{}, p.Close()
}

// oddAndHeavy is the table of what does not depend on the clock.
func (b *bench) oddAndHeavy(rows []peers.Row) error {
	t := report.NewTable("robustness and weight", "", report.Column{Metric: lost}, report.Column{Metric: deepMs, Digits: 1}, report.Column{Metric: modules}, report.Column{Metric: binaryKB})
	for i, c := range codecs.All() {
		all, failed := codecs.Oddities(c)
		s := runner.Sample{lost: float64(len(failed))}
		if took := codecs.Deep(c); took > 0 {
			s[deepMs] = took.Seconds() * 1e3
		}
		if weight, err := codecs.Weigh(c); err == nil {
			s[modules], s[binaryKB] = float64(weight.Modules), float64(weight.Binary)/1024
		} else {
			fmt.Fprintln(os.Stderr, "bench: no weight:", err)
		}
		t.Add(rows[i], s, runner.Audit{})
		if len(failed) > 0 {
			b.note(fmt.Sprintf("%s: of %d odd values and texts these do not come back as they were, or as encoding/json reads them: %s.", c.Name, all, strings.Join(failed, ", ")))
		}
	}
	b.add(t, rows)
	b.note("larder writes by encoding/json. A row without a time for nested objects refuses them; what is no JSON reads its own bytes only, so such texts are not asked of it.")
	b.note("sonic " + codecs.SonicMode() + ".")
	b.note("msgpack does not know json tags, and neither it nor cbor calls MarshalJSON; cbor keeps times in seconds unless told otherwise.")
	return nil
}

// codecJob measures encoding for half of the time and decoding for the other half.
func codecJob(c *runner.Child) (runner.Sample, error) {
	codec, err := codecs.Find(c.Spec.Row)
	if err != nil {
		return nil, err
	}
	doc := work.New(4711, c.Spec.Size)
	data, err := codec.Encode(doc)
	if err != nil {
		return nil, err
	}
	encode := func() error { _, err := codec.Encode(doc); return err }
	decode := func() error {
		if c.Spec.Mode == intoAny {
			var d map[string]any
			if err := codec.Decode(data, &d); err != nil || len(d) == 0 {
				return fmt.Errorf("decoded %d fields: %w", len(d), err)
			}
			return nil
		}
		var d work.Doc
		if err := codec.Decode(data, &d); err != nil || d.ID != doc.ID || len(d.Lines) != len(doc.Lines) {
			return fmt.Errorf("decoded document %d: %w", d.ID, err)
		}
		return nil
	}
	for _, op := range []func() error{encode, decode} { // what they prepare for a type
		if _, err := repeat(20*time.Millisecond, op); err != nil {
			return nil, err
		}
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	s := runner.Sample{encodedSize: float64(len(data))}
	n, err := repeat(c.Spec.For, encode)
	if err != nil {
		return nil, err
	}
	first := c.Stop(n)
	s[encodeNs], s[encodeAllocs], s[encodeBytes] = first[runner.PerOp], first[runner.Allocs], first[runner.Bytes]
	c.Restart()
	n, err = repeat(c.Spec.For, decode)
	second := c.Stop(n)
	s[decodeNs], s[decodeAllocs], s[decodeBytes] = second[runner.PerOp], second[runner.Allocs], second[runner.Bytes]
	return s, err
}

// repeat calls op again and again for d.
func repeat(d time.Duration, op func() error) (n int64, err error) {
	for until := time.Now().Add(d); time.Now().Before(until); {
		for range 16 {
			if err := op(); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}
