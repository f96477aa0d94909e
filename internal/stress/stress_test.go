package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/redistest"
)

// TestMain makes the test binary a worker when a test has started it as one.
func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	if isWorker() {
		if err := work(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "stress worker:", err)
			os.Exit(2)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// TestSmoke runs the program as it runs by itself, processes and all. What the scenarios
// find is for `go run ./internal/stress -short`, which CI runs, and `make stress`.
func TestSmoke(t *testing.T) {
	redistest.Require(t)
	short := map[string]scenario{"history": historyRun{ours: 2 * time.Second, controls: time.Second, gets: 100}}
	var text strings.Builder
	missed, err := runAll(t.Context(), &text, short, []string{"history"}, []string{single})
	t.Log(text.String())
	require.NoError(t, err)
	assert.Zero(t, missed)
	for _, mode := range []string{naive, lockOnly, ours, updating} {
		assert.Contains(t, text.String(), mode)
	}
}

func TestFullServiceIsHitsAndAnEmptyQueueInAllProcesses(t *testing.T) {
	noon := time.Unix(0, 0)
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * tickEvery) }
	// Each process makes ten look-ups a tick: misses up to hitFrom, hits from there on.
	process := func(hitFrom, queueUntil int) series {
		var s series
		n := tick{}
		for i := range 40 {
			n.At, n.Looks, n.Pending = at(i), n.Looks+10, 0
			if i > hitFrom {
				n.Hits += 10
			}
			if i < queueUntil {
				n.Pending = 1
			}
			s = append(s, n)
		}
		return s
	}
	for _, c := range []struct {
		name  string
		all   []series
		since int
		want  time.Duration
		ok    bool
	}{
		{"hits all the time", []series{process(0, 0)}, 10, 4 * tickEvery, true},
		{"hits later", []series{process(20, 0)}, 10, (24 - 10) * tickEvery, true},
		{"the queue is empty later", []series{process(0, 30)}, 10, (30 - 10) * tickEvery, true},
		{"the last process counts", []series{process(0, 0), process(20, 0)}, 10, (24 - 10) * tickEvery, true},
		{"never", []series{process(0, 0), process(40, 0)}, 10, 0, false},
		{"nothing counted", nil, 10, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := ordeal{Series: c.all}
			took, ok := o.serves(at(c.since), at(39))
			assert.Equal(t, c.ok, ok)
			if ok {
				assert.LessOrEqual(t, took, c.want)
				assert.Greater(t, took, c.want-2*tickEvery, "and not before: four fifths are enough")
			}
		})
	}
	assert.InDelta(t, 0.5, (&ordeal{Series: []series{process(20, 0)}}).hitsBetween(at(10), at(30)), 0.01)
}

func TestChaosMissesWhatWasPromised(t *testing.T) {
	c := chaosRun{length: time.Second}
	for _, broken := range []report{
		{Failed: 1},
		{Stale: 1},
		{Ordeal: ordeal{OwnStale: 1}},
		{Ordeal: ordeal{Peak: chaosLimit + 1}},
		{Ordeal: ordeal{Extra: 1}},
	} {
		broken.Writes, broken.Ordeal.Pending = 1, 1
		var found table
		c.tell(&found, &broken, []event{{name: "some", begin: time.Now(), end: time.Now()}})
		assert.Len(t, found.missed, 1, "%+v", broken)
	}
	var found table
	c.tell(&found, &report{Writes: 1, Ordeal: ordeal{Pending: 1, Overloaded: 1}}, nil)
	assert.Empty(t, found.missed)
	assert.Len(t, found.spoilt, 2, "a refused call, and no fault at all")
}
