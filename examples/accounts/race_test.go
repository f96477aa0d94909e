package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

func TestAfterARaceAccountsAreCachedAsTheirRowsAreOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"on the embedded Redis", func(*testing.T) string { return "" }},
		{"on a real one", func(t *testing.T) string { return "redis://" + redistest.Single(t).Addr() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := race{accounts: 3, processes: 2, rounds: 3, round: 200 * time.Millisecond}
			rdb, db := newRedis(t, c.url(t)), newDatabase(t, r.ids()...)
			result, err := r.race(t.Context(), db, rdb)
			require.NoError(t, err)
			assert.Positive(t, result.Sets)
			assert.Positive(t, result.Updates)
			assert.Positive(t, result.Reads)
			assert.Zero(t, result.Stale)
			assert.Empty(t, result.different)
			assert.Equal(t, r.accounts*r.rounds, result.equal+result.absent)

			var out bytes.Buffer
			require.NoError(t, result.report(&out))
			assert.Contains(t, out.String(), "0  reads were stale")
			assert.Contains(t, out.String(), "0  different")
		})
	}
}

func TestTheAuditorFindsWhatIsNotTheRow(t *testing.T) {
	db := newDatabase(t, "1", "2", "3")
	repo := &repository{db.DB}
	accounts, forge := newAccounts(t, newRedis(t, ""), db)
	_, err := accounts.GetOrLoad(t.Context(), "1", repo.Find)
	require.NoError(t, err)
	require.NoError(t, forge.Set(t.Context(), "3", Account{ID: "3", Cents: -1}))

	var o outcome
	audit := auditor{accounts: accounts, rows: repo}
	require.NoError(t, audit.check(t.Context(), []string{"1", "2", "3"}, &o))
	assert.Equal(t, 1, o.equal)
	assert.Equal(t, 1, o.absent)
	require.Len(t, o.different, 1)
	assert.Contains(t, o.different[0], "Cents:-1")
	assert.ErrorIs(t, o.report(new(bytes.Buffer)), errInconsistent)
}

func TestAReadOlderThanTheRowIsCountedAsStale(t *testing.T) {
	db := newDatabase(t, "1")
	accounts, forge := newAccounts(t, newRedis(t, ""), db)
	r := racer{accounts: accounts, repo: &repository{db.DB}}
	require.NoError(t, r.read(t.Context(), "1"))
	assert.Zero(t, r.stale.Load())

	require.NoError(t, forge.Invalidate(t.Context(), "1"))
	require.NoError(t, forge.Set(t.Context(), "1", Account{ID: "1"})) // version 0
	require.NoError(t, r.read(t.Context(), "1"))
	assert.Equal(t, int64(1), r.stale.Load())
	assert.ErrorIs(t, (&outcome{counts: counts{Stale: 1}}).report(new(bytes.Buffer)), errInconsistent)
}

func TestARaceNeedsAccountsAndTime(t *testing.T) {
	assert.ErrorContains(t, race{accounts: 0, rounds: 1, round: 1}.run(t.Context(), new(bytes.Buffer)), "must be positive")
}
