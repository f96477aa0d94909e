package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// What Inspect foresees is what Acquire answers, in every state, and to look
// changes nothing.
func TestInspectForeseesAcquire(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		for _, st := range states() {
			for name, invalid := range map[string]bool{"found good": false, "found invalid": true} {
				t.Run(st.name+", "+name, func(t *testing.T) {
					ctx, key := t.Context(), st.name+name
					require.NoError(t, st.put(ctx, c, key))
					before, life := c.Dump(ctx, key).Val(), c.ExpireTime(ctx, key).Val()
					seen, err := s.Inspect(ctx, key, store.Inspect{})
					require.NoError(t, err)
					assert.Equal(t, before, c.Dump(ctx, key).Val())
					assert.Equal(t, life, c.ExpireTime(ctx, key).Val())

					read, err := read(ctx, s, key)
					require.NoError(t, err)
					assert.Equal(t, read.Data, seen.Record.Data)
					assert.Equal(t, read.Foreign, seen.Record.Foreign)
					assert.InDelta(t, float64(read.PTTL), float64(seen.Record.PTTL), float64(time.Minute))

					header, _ := envelope.ParseHeader(read.Data)
					grant, err := acquire(ctx, s, key, store.Acquire{
						Token: carol, Lease: time.Second, Retain: time.Second, Seen: header.CID, Invalid: invalid,
					})
					require.NoError(t, err)
					want := seen.Acquire
					if invalid {
						want = seen.Invalid
					}
					assert.Equal(t, string(grant.Answer), string(want.Answer))
					assert.InDelta(t, float64(grant.Left), float64(want.Left), float64(time.Minute))
					assert.InDelta(t, float64(grant.Now), float64(seen.Now), 60_000)
				})
			}
		}
	})
}

// It is one exchange, also with a server that knows none of the scripts.
func TestInspectIsOneExchange(t *testing.T) {
	server := redistest.Single(t)
	link := redistest.NewProxy(t, server.Addr())
	c := redistest.Dial(t, link.Addr())
	require.NoError(t, c.Ping(t.Context()).Err())
	s := open(t, c)
	require.NoError(t, c.ScriptFlush(t.Context()).Err())
	before := link.Exchanges()
	_, err := s.Inspect(t.Context(), "k", store.Inspect{Tokens: []string{"a", "b"}, Meta: "m"})
	require.NoError(t, err)
	assert.EqualValues(t, 1, link.Exchanges()-before)
}

func TestInspectReadsWhatIsBeside(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		ctx, s := t.Context(), open(t, c)
		p := &store.Partition{Records: "v", Dirty: "d", Letter: "y"}
		seen, err := s.Inspect(ctx, "vk", store.Inspect{Behind: p, Name: "k", Tokens: []string{"a", "b"}, Meta: "m"})
		require.NoError(t, err)
		seen.Record.Clock = nil
		assert.Equal(t, store.Inspection{
			Record: store.Record{PTTL: seen.Record.PTTL}, Now: seen.Now, Tokens: make([]envelope.Token, 2),
			Acquire: store.Foreseen{Answer: store.Granted}, Invalid: store.Foreseen{Answer: store.Granted},
		}, seen)
		require.NoError(t, c.ZAdd(ctx, "d", redis.Z{Score: 7, Member: "k"}).Err())
		require.NoError(t, c.Set(ctx, "yk", record(envelope.Header{Kind: envelope.Dirty, Version: 6}, ""), 0).Err())
		require.NoError(t, c.Set(ctx, "b", alice.String(), 0).Err())
		require.NoError(t, c.Set(ctx, "m", "meta", 0).Err())
		seen, err = s.Inspect(ctx, "vk", store.Inspect{Behind: p, Name: "k", Tokens: []string{"a", "b"}, Meta: "m"})
		require.NoError(t, err)
		assert.EqualValues(t, 7, seen.Dirty)
		assert.EqualValues(t, 6, seen.Letter)
		assert.Equal(t, []envelope.Token{{}, alice}, seen.Tokens)
		assert.Equal(t, "meta", seen.Meta)
	})
}

func TestInspectSaysWhyItFailed(t *testing.T) {
	c := redistest.Dial(t, mini(t).Addr())
	s := open(t, c)
	require.NoError(t, c.SAdd(t.Context(), "a", "no token").Err())
	_, err := s.Inspect(t.Context(), "k", store.Inspect{Tokens: []string{"a"}})
	assert.ErrorContains(t, err, "WRONGTYPE")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Inspect(over, "k", store.Inspect{})
	assert.ErrorIs(t, err, context.Canceled)
}
