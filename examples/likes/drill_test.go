package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

func TestNoLikeIsLostWhenWorkersAreKilled(t *testing.T) {
	for _, c := range []struct {
		name    string
		url     func(t *testing.T) string
		workers int
	}{
		{"on the embedded Redis", func(*testing.T) string { return "" }, 1},
		{"on a real one", func(t *testing.T) string {
			return "redis://" + redistest.Single(t, redistest.AppendOnly("everysec")).Addr()
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := drill{likes: 5000, posts: 40, goroutines: 200, kills: 2}
			rdb, db := newRedis(t, c.url(t)), newDatabase(t)
			result, err := d.run(t.Context(), db, rdb)
			require.NoError(t, err)
			assert.Equal(t, c.workers, result.workers)
			assert.Len(t, result.killedIn, d.kills)
			assert.Equal(t, int64(d.likes), result.made)
			assert.Equal(t, int64(d.likes), result.stored)
			assert.Equal(t, int64(d.likes), result.read)
			assert.Less(t, result.puts, result.made, "likes share puts")
			assert.Positive(t, result.written)

			var out bytes.Buffer
			require.NoError(t, result.report(&out))
			assert.Regexp(t, `\s0\s+lost`, out.String())
		})
	}
}

func TestALostLikeIsFound(t *testing.T) {
	db := newDatabase(t)
	likes, err := openLikes(newRedis(t, "").client, nil, "a test")
	require.NoError(t, err)
	defer likes.Close()
	p := &post{key: keyOf(t)}
	p.made.Store(7)
	require.NoError(t, newSink(db.DB).Write(t.Context(), []mutation{value(p.key, 1, 6)}))

	var o outcome
	require.NoError(t, o.compare(t.Context(), []*post{p, {key: "nobody liked it"}}, db, likes))
	assert.Equal(t, int64(1), o.made-o.stored)
	var out bytes.Buffer
	require.ErrorIs(t, o.report(&out), errLost)
	assert.Regexp(t, `\s1\s+lost`, out.String())
}

func TestADrillNeedsLikes(t *testing.T) {
	assert.ErrorContains(t, run(t.Context(), drill{posts: 1, goroutines: 1}, new(bytes.Buffer)), "must be positive")
}
