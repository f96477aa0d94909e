package store

import (
	"context"
	_ "embed"
	"strconv"
	"strings"
	"time"

	"github.com/larder-go/cache/internal/conn"
)

var (
	//go:embed lua/gauge.lua
	gaugeLua string

	gaugeScript = newScript("gauge", gaugeLua)
)

// Gauge is the state of a partition.
type Gauge struct {
	// Now is Redis' clock.
	Now time.Time
	// Dirty keys, and dead letters.
	Dirty, DeadLetters int
	// Lag is the age of the oldest ticket by Redis' clock: since the key that has
	// waited longest became dirty, or was put again while it was written.
	Lag time.Duration
	// Oldest and Newest are the ids of tickets, "" if there is none.
	Oldest, Newest string
}

// Gauges reads the state of each partition at a cost that does not depend on how
// much is dirty. One pipeline. Element i belongs to partition i; a [KeyErrors]
// says which failed.
func (s *Store) Gauges(ctx context.Context, parts []*Partition) ([]Gauge, error) {
	ops := make([]conn.Op, len(parts))
	for i, p := range parts {
		ops[i] = gaugeScript.OnKeys([]string{p.Dirty, p.Tickets, p.Dead})
	}
	replies, errs := s.evalBatch(ctx, gaugeScript, ops)
	all := make([]Gauge, len(parts))
	for i, reply := range replies {
		if errs[i] != nil {
			continue
		}
		g, ok := gaugeOf(reply)
		if !ok {
			errs[i] = &conn.AnswerError{Script: gaugeScript.Name, Answer: reply}
		}
		all[i] = g
	}
	return all, keyErrors(errs)
}

func gaugeOf(reply any) (g Gauge, ok bool) {
	list, _ := reply.([]any)
	if len(list) != 5 {
		return g, false
	}
	now, ok0 := list[0].(int64)
	dirty, ok1 := list[1].(int64)
	letters, ok2 := list[2].(int64)
	oldest, ok3 := list[3].(string)
	newest, ok4 := list[4].(string)
	g = Gauge{Now: time.UnixMilli(now), Dirty: int(dirty), DeadLetters: int(letters), Oldest: oldest, Newest: newest}
	if ms, _ := splitID(oldest); ms > 0 {
		g.Lag = max(time.Duration(now-int64(ms))*time.Millisecond, 0)
	}
	return g, ok0 && ok1 && ok2 && ok3 && ok4
}

// Later reports whether stream id a comes after b. "" comes before all.
func Later(a, b string) bool {
	ams, aseq := splitID(a)
	bms, bseq := splitID(b)
	return ams > bms || ams == bms && aseq > bseq
}

// splitID parses a stream id; zeros for what is none.
func splitID(id string) (ms, seq uint64) {
	left, right, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(left, 10, 64)
	seq, _ = strconv.ParseUint(right, 10, 64)
	return ms, seq
}

// DirtyVersion returns the version of the latest value of key that the sink may
// lack, 0 if there is none. One round trip.
func (s *Store) DirtyVersion(ctx context.Context, p *Partition, key string) (uint64, error) {
	all, err := s.dirtyVersions(ctx, p, key)
	if err != nil {
		return 0, err
	}
	return all[0], nil
}
