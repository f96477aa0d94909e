package runner_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/internal/redistest"
)

// The children of these tests are this test program.
func TestMain(m *testing.M) {
	if spec := os.Getenv(runner.EnvSpec); spec != "" {
		if err := runner.Serve(jobs, spec, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var jobs = map[string]runner.Job{
	"echo": func(c *runner.Child) (runner.Sample, error) {
		fmt.Println("a library prints something")
		if err := c.Ready(); err != nil {
			return nil, err
		}
		for range 1000 {
			garbage = append(garbage, new(int))
		}
		began := float64(c.Began().UnixMicro())
		s := c.Stop(int64(c.Spec.Count))
		s["process"], s["began"] = float64(c.Spec.Process), began
		return s, nil
	},
	"fail":  func(*runner.Child) (runner.Sample, error) { return nil, errors.New("no luck\ntoday") },
	"crash": func(*runner.Child) (runner.Sample, error) { os.Exit(3); return nil, nil },
}

var garbage []*int

func server(t *testing.T) *runner.Server {
	t.Helper()
	redistest.Require(t)
	s, err := runner.StartServer()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestAChildMeasuresWhenItIsTold(t *testing.T) {
	p, err := runner.Start(runner.Spec{Job: "echo", Count: 10})
	require.NoError(t, err)
	told := time.Now()
	require.NoError(t, p.Go())
	s, err := p.Result()
	require.NoError(t, err)
	require.NoError(t, p.Close())
	assert.InDelta(t, 10, s[runner.Ops], 0)
	assert.GreaterOrEqual(t, s["began"], float64(told.UnixMicro()))
	assert.GreaterOrEqual(t, s[runner.Allocs], 100.0, "1,000 allocations, 10 operations")
	assert.Positive(t, s[runner.Rate])
}

func TestAChildThatFailsIsAnErrorThatNamesTheRow(t *testing.T) {
	for job, want := range map[string]string{"fail": "no luck", "crash": "EOF", "unknown": "no job unknown"} {
		t.Run(job, func(t *testing.T) {
			_, err := runner.Start(runner.Spec{Job: job, Row: "this row"})
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "this row")
		})
	}
}

func TestChildrenBeginTogether(t *testing.T) {
	s := server(t)
	var told time.Time
	specs := []runner.Spec{{Job: "echo", Process: 0}, {Job: "echo", Process: 1}, {Job: "echo", Process: 2}}
	samples, _, err := runner.MeasureAll(s, specs, func(began time.Time) error {
		told = began
		return nil
	})
	require.NoError(t, err)
	require.Len(t, samples, 3)
	for i, sample := range samples {
		assert.InDelta(t, i, sample["process"], 0)
		assert.GreaterOrEqual(t, sample["began"], float64(told.UnixMicro()), "nobody begins before the time")
	}
}

func TestWhatRedisWasAskedIsCountedWhileAChildMeasures(t *testing.T) {
	s := server(t)
	ctx := t.Context()
	require.NoError(t, s.Admin.Set(ctx, "before", 1, 0).Err())
	before, err := s.Look()
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, s.Admin.Get(ctx, "before").Err())
	}
	after, err := s.Look()
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{"get": 3}, after.Since(before).Commands)
	assert.NotEmpty(t, s.Version())
	assert.Positive(t, s.Memory())
}

func TestEachRoundBeginsWithAnotherRow(t *testing.T) {
	var order []int
	require.NoError(t, runner.Interleave(3, 3, func(_, row int) error {
		order = append(order, row)
		return nil
	}))
	assert.Equal(t, []int{0, 1, 2, 1, 2, 0, 2, 0, 1}, order)
	stop := errors.New("stop")
	assert.Equal(t, stop, runner.Interleave(3, 3, func(int, int) error { return stop }))
}
