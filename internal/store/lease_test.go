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

func TestLeaseIsOverAtItsDeadlineAndNotBefore(t *testing.T) {
	m := mini(t)
	s := open(t, redistest.Dial(t, m.Addr()))
	ctx := t.Context()
	first, err := acquire(ctx, s, "k", lead(alice, envelope.Token{}))
	require.NoError(t, err)
	assert.Equal(t, store.Grant{Answer: store.Granted, Now: epoch.UnixMilli()}, first)

	m.SetTime(epoch.Add(time.Minute - time.Millisecond))
	second, err := acquire(ctx, s, "k", lead(bob, envelope.Token{}))
	require.NoError(t, err)
	assert.Equal(t, store.Busy, second.Answer)
	assert.Equal(t, time.Millisecond, second.Left)

	m.SetTime(epoch.Add(time.Minute))
	third, err := acquire(ctx, s, "k", lead(bob, envelope.Token{}))
	require.NoError(t, err)
	assert.Equal(t, store.Granted, third.Answer)
	verdict, _, err := commit(ctx, s, "k", fill(alice))
	require.NoError(t, err)
	assert.Equal(t, store.Refused, verdict)
}

func TestRecordThatChangedIsHandedOverWithWhatItHasLeft(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		ctx := t.Context()
		text := record(envelope.Header{Kind: envelope.Value, CID: alice, Version: 9}, "body\x00\xff\r\n")
		require.NoError(t, c.Set(ctx, "k", text, time.Hour).Err())
		g, err := acquire(ctx, s, "k", lead(bob, envelope.Token{}))
		require.NoError(t, err)
		assert.Equal(t, store.Held, g.Answer)
		assert.Equal(t, text, string(g.Record.Data))
		assert.InDelta(t, time.Hour, g.Record.PTTL, float64(time.Minute))

		require.NoError(t, c.Persist(ctx, "k").Err())
		g, err = acquire(ctx, s, "k", lead(bob, envelope.Token{}))
		require.NoError(t, err)
		assert.Equal(t, time.Duration(-1), g.Record.PTTL)
	})
}
