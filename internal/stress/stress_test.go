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

// passes runs the short form of a scenario on a single server. What is checked
// is what the long forms check, but for the figures that need a quiet machine.
func passes(t *testing.T, name string, s scenario) {
	t.Helper()
	var text strings.Builder
	found, err := try(&text, func() (*table, error) {
		return s.run(t.Context(), deploy(t, single, servers(name)...))
	})
	t.Log(text.String())
	require.NoError(t, err)
	assert.Empty(t, found.missed)
	assert.Empty(t, found.spoilt)
}

func TestStressHistory(t *testing.T) {
	passes(t, "history", historyRun{ours: 3 * time.Second, controls: time.Second, gets: 1000})
}

func TestStressTags(t *testing.T) {
	passes(t, "tags", tagRun{historyRun{ours: 3 * time.Second, controls: time.Second, gets: 1000}})
}

func TestStressUnderEviction(t *testing.T) {
	passes(t, "eviction", historyRun{ours: 2 * time.Second, controls: time.Second, gets: 1000, evicted: 1000})
}

func TestColdKeyHerd(t *testing.T) {
	h := coldKey(5)
	h.strict, h.callers = false, h.callers/crowd
	passes(t, "coldkey", h)
}

func TestHerd(t *testing.T) {
	h := herd(5)
	h.strict, h.callers = false, h.callers/crowd
	h.median, h.worst = 5, 10 // callers who load one after the other take hundreds
	passes(t, "herd", h)
}

func TestHotKey(t *testing.T) {
	passes(t, "hotkey", hotKeyRun{length: 2 * time.Second})
}

func TestInvalidationStorm(t *testing.T) {
	passes(t, "storm", stormRun{length: 2 * time.Second, readers: 50})
}

func TestL1UnderStress(t *testing.T) {
	passes(t, "l1", nearRun{length: 4 * time.Second, gets: 1000})
}

func TestHotKeyIsAbsorbed(t *testing.T) {
	passes(t, "absorb", absorbRun{workers: 20, rate: 100_000 / crowd, length: 3 * time.Second})
}

func TestWriteBehindUnderKill9(t *testing.T) {
	passes(t, "behind", behindRun{length: 3 * time.Second, keys: 200, workers: 2, every: 500 * time.Millisecond})
}
