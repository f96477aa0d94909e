package main

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// merged is what the changes name, without their ids.
func merged(changes []cache.Change) (c cache.Change) {
	for _, one := range changes {
		c.Keys, c.Tags, c.All = append(c.Keys, one.Keys...), append(c.Tags, one.Tags...), c.All || one.All
	}
	return c
}

// next is what a call of Next returns.
type next struct {
	changes []cache.Change
	err     error
}

// waiting calls Next in the background.
func waiting(t *testing.T, o *outbox) <-chan next {
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	t.Cleanup(cancel)
	out := make(chan next, 1)
	go func() {
		changes, err := o.Next(ctx)
		out <- next{changes, err}
	}()
	return out
}

// connect connects o and returns the process of the server behind it.
func connect(t *testing.T, o *outbox) (pid uint32) {
	t.Helper()
	require.NoError(t, o.listen(t.Context()))
	return o.conn.PgConn().PID()
}

// listening waits until Next, which has found nothing, waits for notifications.
func listening(t *testing.T, db *database, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		var is bool
		err := db.QueryRow(t.Context(), `SELECT state = 'idle' AND query LIKE '%FROM larder_outbox WHERE cache%'
			FROM pg_stat_activity WHERE pid = $1`, pid).Scan(&is)
		return err == nil && is
	}, patient, 5*time.Millisecond, "Next waits")
}

func TestEveryStatementLeavesWhatItMadeInvalid(t *testing.T) {
	for _, test := range []struct {
		name, sql      string
		users, rosters cache.Change
	}{
		{
			"INSERT", `INSERT INTO larder_users VALUES ('2', 'Grace', 'blue')`,
			cache.Change{Keys: []string{"2"}},
			cache.Change{Tags: []string{"team/blue"}},
		},
		{
			"UPDATE", `UPDATE larder_users SET name = 'Grace' WHERE id = '1'`,
			cache.Change{Keys: []string{"1", "1"}},
			cache.Change{Tags: []string{"team/red", "team/red"}},
		},
		{
			"UPDATE of the team", `UPDATE larder_users SET team = 'blue'`,
			cache.Change{Keys: []string{"1", "1"}},
			cache.Change{Tags: []string{"team/red", "team/blue"}},
		},
		{
			"UPDATE of the key", `UPDATE larder_users SET id = '3'`,
			cache.Change{Keys: []string{"1", "3"}},
			cache.Change{Tags: []string{"team/red", "team/red"}},
		},
		{
			"DELETE", `DELETE FROM larder_users`,
			cache.Change{Keys: []string{"1"}},
			cache.Change{Tags: []string{"team/red"}},
		},
		{"TRUNCATE", `TRUNCATE larder_users`, cache.Change{All: true}, cache.Change{All: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := newDatabase(t)
			execute(t, db, `INSERT INTO larder_users VALUES ('1', 'Ada', 'red')`)
			execute(t, db, `DELETE FROM larder_outbox`)
			execute(t, db, test.sql)
			for name, want := range map[string]cache.Change{"users": test.users, "rosters": test.rosters} {
				changes, err := newOutbox(t, db, name).Next(t.Context())
				require.NoError(t, err)
				got := merged(changes)
				assert.ElementsMatch(t, want.Keys, got.Keys, name)
				assert.ElementsMatch(t, want.Tags, got.Tags, name)
				assert.Equal(t, want.All, got.All, name)
			}
		})
	}
}

func TestAChangeIsGivenUntilItIsDone(t *testing.T) {
	db := newDatabase(t)
	execute(t, db, `INSERT INTO larder_users VALUES ('1', 'Ada', 'red')`)
	one, other := newOutbox(t, db, "users"), newOutbox(t, db, "users")
	changes, err := one.Next(t.Context())
	require.NoError(t, err)
	require.Len(t, changes, 1)
	again, err := one.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, changes, again)

	require.NoError(t, other.Done(t.Context(), changes), "by a connection of its own")
	require.NoError(t, one.Done(t.Context(), changes), "done already is no error")
	var left int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM larder_outbox WHERE cache = 'users'`).Scan(&left))
	assert.Zero(t, left)
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM larder_outbox WHERE cache = 'rosters'`).Scan(&left))
	assert.Equal(t, 1, left, "another cache's")
}

func TestNextIsWokenByACommitAndByNothingElse(t *testing.T) {
	db := newDatabase(t)
	o := newOutbox(t, db, "users")
	pid := connect(t, o)
	got := waiting(t, o)
	listening(t, db, pid)
	back, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = back.Exec(t.Context(), `INSERT INTO larder_users VALUES ('1', 'Ada', 'red')`)
	require.NoError(t, err)
	require.NoError(t, back.Rollback(t.Context()))
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO larder_users VALUES ('2', 'Grace', 'red')`)
	require.NoError(t, err)
	assert.Empty(t, got)
	require.NoError(t, tx.Commit(t.Context()))

	n := <-got
	require.NoError(t, n.err)
	assert.Equal(t, []string{"2"}, merged(n.changes).Keys)
}

func TestNextFindsWhatNoNotificationTold(t *testing.T) {
	db := newDatabase(t)
	o := newOutbox(t, db, "users")
	o.every = 20 * time.Millisecond
	got := waiting(t, o)
	execute(t, db, `INSERT INTO larder_outbox (cache, keys) VALUES ('users', '{1}')`) // no trigger here
	n := <-got
	require.NoError(t, n.err)
	assert.Equal(t, []string{"1"}, merged(n.changes).Keys)
}

func TestAnOutboxThatLostItsConnectionReadsWhatItMissed(t *testing.T) {
	db := newDatabase(t)
	o := newOutbox(t, db, "users")
	pid := connect(t, o)
	got := waiting(t, o)
	listening(t, db, pid)
	execute(t, db, `SELECT pg_terminate_backend($1)`, pid)
	n := <-got
	require.ErrorContains(t, n.err, "terminating connection")
	execute(t, db, `INSERT INTO larder_users VALUES ('1', 'Ada', 'red')`)
	changes, err := o.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"1"}, merged(changes).Keys)
}

// A mark "done up to here" would lose a change:
//
//  1. A inserts: its row has a lower id. A does not commit yet.
//  2. B inserts and commits. The outbox reads B's row, and it is done.
//  3. A commits: its row, with the lower id, becomes visible now.
func TestARowWhoseIDIsOlderThanWhatIsDone(t *testing.T) {
	db := newDatabase(t)
	o := newOutbox(t, db, "users")
	a, err := db.Begin(t.Context())
	require.NoError(t, err)
	_, err = a.Exec(t.Context(), `INSERT INTO larder_users VALUES ('A', 'Ada', 'red')`) // 1
	require.NoError(t, err)
	execute(t, db, `INSERT INTO larder_users VALUES ('B', 'Bob', 'red')`) // 2
	first, err := o.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"B"}, merged(first).Keys)
	require.NoError(t, o.Done(t.Context(), first))
	require.NoError(t, a.Commit(t.Context())) // 3

	second, err := o.Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"A"}, merged(second).Keys)
	assert.Less(t, number(t, second[0].ID), number(t, first[0].ID))
}

func number(t *testing.T, id string) int {
	t.Helper()
	n, err := strconv.Atoi(id)
	require.NoError(t, err)
	return n
}

func TestNextEndsWithItsContext(t *testing.T) {
	db := newDatabase(t)
	o := newOutbox(t, db, "users")
	pid := connect(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := o.Next(ctx)
		ended <- err
	}()
	listening(t, db, pid)
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
}

func TestTwoConsumersAtOnce(t *testing.T) {
	db, rdb := newDatabase(t), newRedis(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		c, err := openCaches(rdb.client)
		require.NoError(t, err)
		go func() {
			err := follow(ctx, db.url, c.users, c.rosters)
			ended <- errors.Join(err, c.shutdown())
		}()
	}
	table, err := newTable(t.Context(), db, 20)
	require.NoError(t, err)
	for range 20 {
		_, err := table.rename(t.Context(), table.ids...)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		n, err := table.waiting(t.Context())
		return err == nil && n == 0
	}, patient, 5*time.Millisecond)
	cancel()
	for range 2 {
		assert.ErrorIs(t, <-ended, context.Canceled)
	}
}
