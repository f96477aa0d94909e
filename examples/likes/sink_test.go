package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

type mutation = cache.Mutation[Likes]

// row is what the table holds of a key.
type row struct {
	total   int64
	version uint64
	deleted bool
}

func read(t *testing.T, db *database, key string) (r row) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), `SELECT total, version, deleted FROM larder_likes WHERE post = $1`, key).
		Scan(&r.total, &r.version, &r.deleted)
	require.NoError(t, err)
	return r
}

// keyOf is a key of this test's run: a PostgreSQL keeps those of earlier ones.
func keyOf(t *testing.T) string { return fmt.Sprintf("%s/%d", t.Name(), time.Now().UnixNano()) }

func value(key string, version uint64, total int64) mutation {
	return mutation{Key: key, Version: version, Value: Likes{Total: total}}
}

func tombstone(key string, version uint64) mutation {
	return mutation{Key: key, Version: version, Deleted: true}
}

func TestTheHighestVersionStaysInWhateverOrderTheyCome(t *testing.T) {
	db := newDatabase(t)
	for _, c := range []struct {
		name   string
		writes func(key string) []mutation
		want   row
	}{
		{"a first value", func(k string) []mutation { return []mutation{value(k, 1, 10)} }, row{10, 1, false}},
		{"a newer value replaces an older one", func(k string) []mutation {
			return []mutation{value(k, 1, 10), value(k, 2, 20)}
		}, row{20, 2, false}},
		{"an older value that comes late does not replace a newer one", func(k string) []mutation {
			return []mutation{value(k, 2, 20), value(k, 1, 10)}
		}, row{20, 2, false}},
		{"a version again changes nothing", func(k string) []mutation {
			return []mutation{value(k, 2, 20), value(k, 2, 99)}
		}, row{20, 2, false}},
		{"a delete leaves a tombstone", func(k string) []mutation {
			return []mutation{value(k, 1, 10), tombstone(k, 2)}
		}, row{0, 2, true}},
		{"a delete of what was never written leaves one too", func(k string) []mutation {
			return []mutation{tombstone(k, 2)}
		}, row{0, 2, true}},
		{"an older value does not bring a deleted key back", func(k string) []mutation {
			return []mutation{tombstone(k, 2), value(k, 1, 10)}
		}, row{0, 2, true}},
		{"a newer value does", func(k string) []mutation {
			return []mutation{tombstone(k, 2), value(k, 3, 30)}
		}, row{30, 3, false}},
		{"an older delete does not remove a newer value", func(k string) []mutation {
			return []mutation{value(k, 3, 30), tombstone(k, 2)}
		}, row{30, 3, false}},
		{"versions are microseconds since 1970", func(k string) []mutation {
			return []mutation{value(k, 1795255175218001, 1), value(k, 1795255175218000, 2)}
		}, row{1, 1795255175218001, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := keyOf(t)
			for _, m := range c.writes(key) {
				require.NoError(t, newSink(db.DB).Write(t.Context(), []mutation{m}), "to leave a row alone is success")
			}
			assert.Equal(t, c.want, read(t, db, key))
			total, err := db.total(t.Context(), key)
			require.NoError(t, err)
			assert.Equal(t, c.want.total, total, "readers see no tombstone")
		})
	}
}

func TestABatchOfAnySizeIsWrittenAndMayComeAgain(t *testing.T) {
	db := newDatabase(t)
	for _, n := range []int{0, 1, sinkRows - 1, sinkRows, sinkRows + 1, 256} {
		key, batch := keyOf(t), []mutation{}
		for i := range n {
			batch = append(batch, value(fmt.Sprintf("%s/%d", key, i), uint64(i+1), int64(i)*10))
		}
		for range 2 {
			require.NoError(t, newSink(db.DB).Write(t.Context(), batch))
		}
		for _, m := range batch {
			assert.Equal(t, row{m.Value.Total, m.Version, false}, read(t, db, m.Key))
		}
	}
}

func TestABatchIsWrittenAsAWholeOrNotAtAll(t *testing.T) {
	db := newDatabase(t)
	sink := newSink(db.DB)
	key := keyOf(t)
	batch := make([]mutation, 0, sinkRows+1)
	for i := range sinkRows + 1 { // the last one, alone in the second statement, is refused
		batch = append(batch, value(fmt.Sprintf("%s/%03d", key, i), 1, int64(i)))
	}
	sink.Values = func(l Likes) []any {
		if l.Total == sinkRows {
			return []any{nil} // total is NOT NULL
		}
		return []any{l.Total}
	}
	require.ErrorContains(t, sink.Write(t.Context(), batch), "larder_likes")
	total, err := db.total(t.Context(), batch[1].Key)
	require.NoError(t, err)
	assert.Zero(t, total)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, sink.Write(ctx, batch[:1]), context.Canceled)
}

func TestTheStatementIsFenced(t *testing.T) {
	s := &Sink[Likes]{Table: "t", Key: "k", Columns: []string{"a", "b"}}
	assert.Equal(t, "INSERT INTO t (k, a, b, version, deleted) VALUES ($1, $2, $3, $4, $5), ($6, $7, $8, $9, $10)"+
		" ON CONFLICT (k) DO UPDATE SET a = excluded.a, b = excluded.b, version = excluded.version, deleted = excluded.deleted"+
		" WHERE t.version < excluded.version", s.upsert(2))
}
