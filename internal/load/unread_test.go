package load_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/load"
)

// A flight of a key that nobody has looked up loads where nothing is there, and leaves a
// record that is there to those who wait: but for one in its last round, who is to have
// what can be had.
func TestAFlightOfAnUnreadKeyLeavesARecordToItsWaiters(t *testing.T) {
	tests := []struct {
		name    string
		answers []load.Answer
		solo    bool
		outcome load.Outcome
		steps   []string
	}{
		{"nothing is there", []load.Answer{load.Granted}, false, load.Stored, []string{"acquire k", "load k", "commit k"}},
		{"a value is there", []load.Answer{load.Served}, false, load.Abandoned, []string{"acquire k"}},
		{"a stale value is there", []load.Answer{load.Changed}, false, load.Abandoned, []string{"acquire k"}},
		{"somebody else's record is there", []load.Answer{load.Untouchable}, false, load.Abandoned, []string{"acquire k"}},
		{"a value, for the last round", []load.Answer{load.Served}, true, load.Found, []string{"acquire k"}},
		{"Redis does not answer", []load.Answer{load.Unanswered}, false, load.Loaded, []string{"acquire k", "load k"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRoom(t)
				seat, ok := g.Lead("k", load.Caller{Began: g.Now()})
				require.True(t, ok)
				_, again := g.Lead("k", load.Caller{})
				assert.False(t, again, "the key has a flight")
				if test.solo {
					joined, err := g.Join("k", load.Caller{Began: g.Now(), Solo: true})
					require.NoError(t, err)
					require.Equal(t, load.Share, joined.Role)
				}
				k := keyOf(&seat)
				k.Unread = true
				b := play(script{answers: test.answers, verdict: load.Committed})
				go g.Run(t.Context(), b, false, []*load.Key{k})
				require.NoError(t, g.Await(t.Context(), seat))
				result, _ := seat.Result()
				assert.Equal(t, test.outcome, result.Outcome)
				assert.Equal(t, test.steps, b.log())
			})
		})
	}
}

func TestLookUpsThatFindNothingAreExpectedToGoOn(t *testing.T) {
	var e load.Expectation
	assert.False(t, e.Nothing(), "of whom nobody has looked up anything")
	note := func(nothing bool, n int) {
		for range n {
			e.Note(nothing)
		}
	}
	note(true, 32)
	assert.False(t, e.Nothing(), "not after a few")
	note(true, 10_000)
	assert.True(t, e.Nothing())
	note(false, 3)
	assert.True(t, e.Nothing(), "one in ten hits")
	note(false, 3)
	assert.False(t, e.Nothing(), "hits end it")
	for i := range 10_000 {
		e.Note(i%4 != 0)
	}
	assert.False(t, e.Nothing(), "three of four are too few")
	note(false, 10_000)
	note(true, 200)
	assert.True(t, e.Nothing())
}
