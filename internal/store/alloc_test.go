package store_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// What an operation on one key allocates, although there is a form for N keys only.
func TestAnOperationOnOneKeyAllocatesNoMoreThanItMust(t *testing.T) {
	c := redistest.Single(t).Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	s := open(t, c)
	ctx := t.Context()
	require.NoError(t, c.Set(ctx, "k", record(envelope.Header{Kind: envelope.Value, CID: alice}, "body"), time.Hour).Err())
	key := "k"
	body := make([]byte, 1000)
	for _, op := range []struct {
		name  string
		bound float64
		run   func()
	}{
		{"read", 8, func() {
			keys := [1]string{key}
			rec := s.Read(ctx, keys[:], nil)[0]
			rec.Release()
		}},
		{"acquire", 15, func() {
			asks := [1]store.Acquire{{Key: "l", Token: alice, Lease: time.Minute, Retain: time.Hour}}
			s.Acquire(ctx, asks[:], nil)
		}},
		{"commit", 11, func() {
			commits := [1]store.Commit{{Key: "l", Token: bob, TTL: time.Minute, Soft: time.Second, Record: body}}
			s.Commit(ctx, commits[:], nil)
		}},
		{"release", 10, func() {
			leases := [1]store.Lease{{Key: "none", Token: bob}}
			s.Release(ctx, leases[:], 0)
		}},
		{"invalidate", 8, func() {
			changes := [1]store.Change{{Key: "none"}}
			s.Invalidate(ctx, changes[:])
		}},
		{"begin", 11, func() {
			intents := [1]store.Intent{{Key: "w", Token: alice}}
			s.BeginWrite(ctx, intents[:], time.Minute, nil)
		}},
	} {
		op.run()
		n := testing.AllocsPerRun(300, op.run)
		t.Logf("%s: %.0f", op.name, n)
		assert.LessOrEqual(t, n, op.bound, op.name)
	}
}
