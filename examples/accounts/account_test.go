package main

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

func TestEachWriteCountsTheVersionUpAndReturnsTheRow(t *testing.T) {
	db := newDatabase(t)
	repo := &repository{db.DB}
	require.NoError(t, repo.Delete(t.Context(), "ada"))

	a, err := repo.WriteReturning(t.Context(), "ada", Account{Owner: "Ada", Cents: 100, Version: 77})
	require.NoError(t, err)
	assert.Equal(t, Account{ID: "ada", Owner: "Ada", Cents: 100, Version: 1}, a, "the version is the table's")
	a, err = repo.WriteReturning(t.Context(), "ada", Account{Owner: "Ada", Cents: 300})
	require.NoError(t, err)
	assert.Equal(t, uint64(2), a.Version)
	require.NoError(t, repo.Deposit(t.Context(), "ada", 50))
	found, err := repo.Find(t.Context(), "ada")
	require.NoError(t, err)
	assert.Equal(t, Account{ID: "ada", Owner: "Ada", Cents: 350, Version: 3}, found)

	require.NoError(t, repo.Delete(t.Context(), "ada"))
	assert.ErrorIs(t, repo.Deposit(t.Context(), "ada", 50), sql.ErrNoRows)
	_, err = repo.Find(t.Context(), "ada")
	assert.ErrorIs(t, err, sql.ErrNoRows)
}

func TestWhatIsCachedIsTheRow(t *testing.T) {
	db := newDatabase(t, "1")
	repo := &repository{db.DB}
	accounts, _ := newAccounts(t, newRedis(t, ""), db)

	require.NoError(t, accounts.Set(t.Context(), "1", Account{Owner: "Grace", Cents: 5}))
	cached, err := accounts.Get(t.Context(), "1")
	require.NoError(t, err)
	row, err := repo.Find(t.Context(), "1")
	require.NoError(t, err)
	assert.Equal(t, row, cached)

	require.NoError(t, accounts.Delete(t.Context(), "1"))
	_, err = accounts.GetOrLoad(t.Context(), "1", repo.Find)
	assert.ErrorIs(t, err, cache.ErrNotFound)
}

func TestNothingIsWrittenWhileRedisCannotGuardIt(t *testing.T) {
	db, rdb := newDatabase(t, "1"), newRedis(t, "")
	repo := &repository{db.DB}
	accounts, _ := newAccounts(t, rdb, db)
	before, err := repo.Find(t.Context(), "1")
	require.NoError(t, err)
	rdb.embedded.Close()

	r := racer{accounts: accounts, repo: repo}
	require.NoError(t, r.set(t.Context(), "1"))
	assert.Equal(t, int64(1), r.refused.Load())
	after, err := repo.Find(t.Context(), "1")
	require.NoError(t, err)
	assert.Equal(t, before, after)
}
