package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

func TestNoChangeIsLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		redis func(t *testing.T) *redisServer
	}{
		{"on the embedded Redis", func(t *testing.T) *redisServer { return newRedis(t, "") }},
		{"on a real one, frozen for a while", func(t *testing.T) *redisServer {
			server := redistest.Single(t)
			rdb := newRedis(t, "redis://"+server.Addr())
			rdb.down, rdb.up = server.Process().Pause, server.Process().Resume
			return rdb
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := drill{updates: 20, rows: 4, outage: 300 * time.Millisecond}
			result, err := d.run(t.Context(), newDatabase(t), c.redis(t))
			require.NoError(t, err)
			assert.Len(t, result.seenAfter, d.updates)
			assert.Equal(t, 3, result.moves)
			assert.Equal(t, 2*d.rows, result.killedLeft, "one row for each of both caches")
			assert.Equal(t, d.rows, result.killedStale, "control: nobody else invalidates")
			assert.Positive(t, result.recovered)
			assert.Equal(t, 2*d.rows, result.outageLeft)
			assert.Zero(t, result.outageStale)
			assert.Positive(t, result.landed)
			assert.Equal(t, d.rows, result.compared)
			assert.Empty(t, result.different)

			var out bytes.Buffer
			require.NoError(t, result.report(&out))
			assert.Contains(t, out.String(), "8  rows stayed in the outbox; 4 users were stale in the cache")
			assert.Contains(t, out.String(), "0  different")
		})
	}
}

func TestWhatIsNotTheRowIsAnError(t *testing.T) {
	o := outcome{seenAfter: []time.Duration{1}, different: []string{"cached Ada, but the row is Grace"}}
	var out bytes.Buffer
	assert.ErrorIs(t, o.report(&out), errInconsistent)
	assert.Contains(t, out.String(), "it is yours")
}

func TestADrillNeedsUpdatesRowsAndTime(t *testing.T) {
	assert.ErrorContains(t, run(t.Context(), drill{rows: 2, outage: 1}, new(bytes.Buffer)), "must be positive")
}
