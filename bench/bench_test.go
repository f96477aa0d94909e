package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/report"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/internal/redistest"
)

// The children of these tests are this test program.
func TestMain(m *testing.M) {
	if spec := os.Getenv(runner.EnvSpec); spec != "" {
		exitOn(runner.Serve(jobs(), spec, os.Stdin, os.Stdout))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestScenariosHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{fillJob: true}
	for _, s := range scenarios {
		assert.False(t, seen[s.name], s.name)
		seen[s.name] = true
		assert.NotEmpty(t, s.about)
		assert.NotNil(t, s.run)
		assert.NotNil(t, s.job)
	}
}

func TestTargetsNameScenarios(t *testing.T) {
	for _, target := range targetList {
		_, ok := find(target.Scenario)
		assert.True(t, ok, "%s: %s", target.Work, target.Scenario)
		assert.NotEmpty(t, target.Want)
		assert.False(t, target.Ratio && target.Against != "", target.Work)
	}
}

// A generator that waited for the slow request would count one slow request; those
// that were due meanwhile had to wait as well.
func TestAnOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	const late = 500 * time.Millisecond
	began := time.Now().Add(-late) // the program was held up for so long
	arrivals := openLoop(began, 100, late, func(int) (bool, error) { return false, nil })
	require.Len(t, arrivals, 50)
	for n, a := range arrivals {
		assert.Equal(t, time.Duration(n)*10*time.Millisecond, a.due)
		assert.GreaterOrEqual(t, a.took, late-a.due)
	}
}

func TestAnOpenLoopGoesOnWhileARequestHangs(t *testing.T) {
	release := make(chan struct{})
	failure := errors.New("failed")
	arrivals := openLoop(time.Now(), 1000, 20*time.Millisecond, func(n int) (bool, error) {
		switch n {
		case 0:
			<-release
		case 1:
			return false, failure
		case 19:
			close(release)
		}
		return true, nil
	})
	require.Len(t, arrivals, 20)
	assert.GreaterOrEqual(t, arrivals[0].took, 19*time.Millisecond)
	assert.Equal(t, failure, arrivals[1].err)
}

func TestAClosedLoopEndsWithTheFirstError(t *testing.T) {
	failure := errors.New("failed")
	_, _, err := closedLoop(4, time.Hour, func(caller int) func() error {
		return func() error {
			if caller == 2 {
				return failure
			}
			return nil
		}
	})
	assert.Equal(t, failure, err)
}

func TestAKilledRedisIsJudgedByWhenRequestsWereDue(t *testing.T) {
	s, plan := runner.Sample{}, ordealOf(10*time.Second)
	killAt, restartAt := plan.killAt, plan.restartAt
	plan.phases(s, []arrival{
		{due: time.Second, took: time.Millisecond},
		{due: killAt - time.Millisecond, took: 2 * time.Second}, // under way at the kill
		{due: killAt + time.Millisecond, took: 100 * time.Millisecond},
		{due: killAt + time.Second, took: 20 * time.Millisecond},
		{due: restartAt + time.Millisecond, took: 30 * time.Millisecond, err: errors.New("failed")},
		{due: restartAt + 150*time.Millisecond, took: time.Millisecond},
	}, 500*time.Millisecond)
	assert.InEpsilon(t, 100.0/6, s[failedShare], 0.001)
	assert.InEpsilon(t, 1, s[aliveP99], 0.05)
	assert.InEpsilon(t, 2000, s[dyingP99], 0.05)
	assert.InEpsilon(t, 20, s[deadP99], 0.05)
	assert.InDelta(t, millis(restartAt+100*time.Millisecond), s[backAfter], 0.1)
}

// One scenario from end to end, with a Redis and children of its own.
func TestAScenarioWritesItsTables(t *testing.T) {
	redistest.Require(t)
	s := settings{quick: true, rounds: 1, rows: peers.Default, results: t.TempDir()}
	require.NoError(t, run(s, "miss"))
	r, err := report.Load(s.results, "miss")
	require.NoError(t, err)
	row := r.Find(missTitle).Find(peers.Default)
	require.NotNil(t, row)
	assert.Positive(t, row.Ratios[tookP50].Median)
	assert.Contains(t, row.Asked, "evalsha 2", "a miss takes a lease and commits")
	assert.NotContains(t, row.Asked, "get 1", "misses are all there is, so they are expected: the lease is asked for at once")
	assert.Contains(t, r.Find(missTitle).Find(peers.FloorRow).Asked, "get 1, set 1")
	assert.Nil(t, r.Find(missTitle).Find("rueidis"), "-rows left it out")
	require.NoError(t, targets(s.results))
	text, err := os.ReadFile(s.results + "/targets.md")
	require.NoError(t, err)
	assert.Contains(t, string(text), "cold miss")
	require.Error(t, run(s, "no such scenario"))
}
