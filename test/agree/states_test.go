package agree_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/testkit"
)

// record kinds that hold no entry, as their scripts write them.
func bare(t *testing.T, rdb redis.UniversalClient, kind envelope.Kind, until time.Time, body string) {
	t.Helper()
	h := envelope.Header{Kind: kind, Until: until.UnixMilli(), Token: envelope.NoToken, CID: envelope.NoToken}
	rec := string(envelope.AppendHeader(nil, h)) + body
	require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, rec, time.Minute).Err())
}

// openWrites is the body of an intent of n writes, which are open for 20 s more.
func openWrites(n int) string {
	var list []byte
	for range n {
		list = envelope.AppendIntent(list, envelope.NewToken(), time.Now().Add(20*time.Second).UnixMilli())
	}
	return string(list)
}

// aged is an entry of the value 1 with so much time left; past its soft expiry
// that is negative.
func aged(t *testing.T, rdb redis.UniversalClient, kind envelope.Kind, left time.Duration, mutate func(*envelope.Body)) {
	t.Helper()
	b := testkit.Body(func(b *envelope.Body) {
		b.Soft, b.Grace = 10*time.Minute, 20*time.Minute
		mutate(b)
	})
	testkit.Raw(t, rdb, kind, b, "1")
	if kind != envelope.Dirty {
		require.NoError(t, rdb.PExpire(t.Context(), testkit.RedisKey, left+b.Grace).Err())
	}
}

func absent(b *envelope.Body) { b.Absent = true }

func asIs(*envelope.Body) {}

// kept is an entry that its writer kept for longer than the reader's windows.
func kept(b *envelope.Body) { b.Grace = time.Hour }

// The table "States and reads" of ARCHITECTURE.md: what is in Redis, what Get
// and GetOrLoad give for it, and whether the load of the value 2 is then stored.
// The first two rows, which are about Redis failing, have tests of their own.
func TestStatesAndReads(t *testing.T) {
	const (
		swr = 5 * time.Minute  // the class's StaleWhileRevalidate
		sie = 20 * time.Minute // and StaleIfError
	)
	in := func(d time.Duration) time.Time { return time.Now().Add(d) } // the bubble's clock is Redis's, too
	type plant func(t *testing.T, rdb redis.UniversalClient)
	entry := func(kind envelope.Kind, left time.Duration, mutate func(*envelope.Body)) plant {
		return func(t *testing.T, rdb redis.UniversalClient) {
			aged(t, rdb, kind, left, mutate)
			if kind == envelope.Value { // as the script that stores it says it
				until := fmt.Sprintf("%013d", in(left).UnixMilli())
				require.NoError(t, rdb.SetRange(t.Context(), testkit.RedisKey, 16, until).Err())
			}
		}
	}
	tests := []struct {
		name   string
		plant  plant
		get    error // nil: the value 1
		load   any   // what GetOrLoad gives: 1, 2, or an error
		stored bool  // a Get afterwards finds 2
	}{
		{"none", func(*testing.T, redis.UniversalClient) {}, cache.ErrMiss, 2, true},
		{"a lease that has run out", func(t *testing.T, rdb redis.UniversalClient) {
			bare(t, rdb, envelope.Lease, in(-time.Second), "")
		}, cache.ErrMiss, 2, true},
		{"a write intent", func(t *testing.T, rdb redis.UniversalClient) {
			bare(t, rdb, envelope.Intent, in(time.Minute), openWrites(1))
		}, cache.ErrMiss, 2, false},
		{"a foreign record", func(t *testing.T, rdb redis.UniversalClient) {
			require.NoError(t, rdb.Set(t.Context(), testkit.RedisKey, "foreign", 0).Err())
		}, cache.ErrMiss, 2, false},
		{"a newer schema", entry(envelope.Value, time.Minute, func(b *envelope.Body) { b.Schema = 9 }), cache.ErrMiss, 2, false},
		{"a back-off", func(t *testing.T, rdb redis.UniversalClient) {
			bare(t, rdb, envelope.Backoff, in(50*time.Millisecond), "")
		}, cache.ErrMiss, 2, true},
		{"dirty", entry(envelope.Dirty, 0, asIs), nil, 1, false},
		{"a dirty tombstone", entry(envelope.Dirty, 0, absent), cache.ErrNotFound, cache.ErrNotFound, false},
		{"another codec", entry(envelope.Value, time.Minute, func(b *envelope.Body) { b.Codec = 9 }), cache.ErrMiss, 2, true},
		{"past MaxAge", entry(envelope.Value, -26*time.Minute, kept), cache.ErrMiss, 2, true},
		{"fresh", entry(envelope.Value, time.Minute, asIs), nil, 1, false},
		{"fresh and absent", entry(envelope.Value, time.Minute, absent), cache.ErrNotFound, cache.ErrNotFound, false},
		{"stale, within StaleWhileRevalidate", entry(envelope.Value, -swr/2, asIs), cache.ErrMiss, 1, true},
		{"stale, within StaleIfError only", entry(envelope.Value, -2*swr, asIs), cache.ErrMiss, 2, true},
		{"stale and absent", entry(envelope.Value, -swr/2, absent), cache.ErrMiss, 2, true},
		{"past both windows", entry(envelope.Value, -sie-time.Minute, kept), cache.ErrMiss, 2, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
				c := testkit.NewCache[int](t, rdb, cache.WithXFetch(0), testkit.Class(func(ttl *cache.TTL) {
					ttl.Fresh, ttl.MaxAge = 10*time.Minute, 35*time.Minute
					ttl.StaleWhileRevalidate, ttl.StaleIfError = swr, sie
				}))
				test.plant(t, rdb)
				got, err := c.Get(t.Context(), "k")
				if assert.ErrorIs(t, err, test.get, "Get"); test.get == nil {
					assert.Equal(t, 1, got, "Get")
				}
				got, err = c.GetOrLoad(t.Context(), "k", testkit.Value(2))
				if want, ok := test.load.(error); ok {
					assert.ErrorIs(t, err, want, "GetOrLoad")
				} else {
					require.NoError(t, err)
					assert.Equal(t, test.load, got, "GetOrLoad")
				}
				testkit.Settled(t, c)
				got, err = c.Get(t.Context(), "k")
				assert.Equal(t, test.stored, err == nil && got == 2, "the load is stored")
			})
		})
	}
}
