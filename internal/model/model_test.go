package model_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/model"
)

var (
	readers = flag.Int("readers", 2, "number of Gets in each model, 2 to 4")
	states  = flag.Int("states", 60_000_000, "number of states after which a check gives up")
	only    = flag.String("variant", "", "number of the one variant to check, with its trace")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestModel checks every variant: what must hold holds, and what must break is caught.
func TestModel(t *testing.T) {
	bounds := model.Bounds{Readers: *readers, States: *states}
	for _, v := range model.Variants() {
		if *only != "" && *only != v.Number {
			continue
		}
		t.Run(v.Number+" "+v.Sentence, func(t *testing.T) {
			if bounds.Readers <= 2 {
				t.Parallel() // larger bounds need the memory for one check at a time
			}
			result, err := v.Check(bounds)
			t.Logf("%s: %d states, broken %q", v.Number, result.States, result.Broken())
			if *only != "" || v.Breaks == "" {
				for i, step := range result.Trace {
					t.Logf("%3d  %s", i+1, step)
				}
				t.Log(result.Violation)
			}
			require.NoError(t, err)
			if v.Breaks == "" {
				assert.Empty(t, result.Violation)
				return
			}
			require.NotEmpty(t, result.Violation, "the checker no longer sees what is wrong")
			assert.Contains(t, v.Breaks, result.Broken())
			assert.NotEmpty(t, result.Trace)
		})
	}
}

func TestVariantsAreDistinctAndExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range model.Variants() {
		assert.False(t, seen[v.Number], "number %s is used twice", v.Number)
		seen[v.Number] = true
		assert.NotEmpty(t, v.Sentence, v.Number)
		assert.Empty(t, strings.Trim(v.Breaks, "IQLWMBESF'"), v.Number)
	}
}

// TestReductionChangesNoVerdict checks variants with names kept apart: the same ones must
// hold, and the shortest counterexamples must be as long.
func TestReductionChangesNoVerdict(t *testing.T) {
	checked := map[string]bool{
		"1": true, "5": true, "6": true, "8": true, "12": true, "14": true, "19": true,
		"22": true, "22c": true, "33": true, "34": true, "36": true, "50a": true, "51c": true,
		"53": true, "53d": true, "55a": true, "60a": true, "61a": true, "70b": true, "71b": true,
		"80b": true, "81": true, "82a": true, "83a": true, "85a": true,
	}
	for _, v := range model.Variants() {
		if !checked[v.Number] {
			continue
		}
		t.Run(v.Number, func(t *testing.T) {
			reduced, err := v.Check(model.Bounds{Readers: 2, States: 1_000_000})
			require.NoError(t, err)
			plain, err := v.Check(model.Bounds{Readers: 2, States: 1_000_000, Unreduced: true})
			require.NoError(t, err)
			t.Logf("%d states instead of %d", reduced.States, plain.States)
			assert.Equal(t, len(plain.Trace), len(reduced.Trace))
			assert.LessOrEqual(t, reduced.States, plain.States)
		})
	}
}

// TestTraceEndsInTheViolation pins the shortest counterexample of plain cache-aside.
func TestTraceEndsInTheViolation(t *testing.T) {
	result, err := model.Variants()[0].Check(model.Bounds{Readers: 2, States: 10_000})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"R0 GET misses",
		"R0 reads v0 from the database",
		"W0 commits v1",
		"W0 invalidates",
		"R0 SET, returns v0",
		"W0 returns, v1 is acknowledged",
		"R1 hits v0",
	}, result.Trace)
	assert.Equal(t, "I", result.Broken())
}

// TestBoundIsReported checks that a search which was cut short does not look like a proof.
func TestBoundIsReported(t *testing.T) {
	for _, v := range model.Variants() {
		if v.Number == "6" {
			_, err := v.Check(model.Bounds{Readers: 2, States: 100})
			assert.ErrorContains(t, err, "more states than the bound allows")
		}
	}
}
