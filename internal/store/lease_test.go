package store_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

func TestLeaseIsOverAtItsDeadlineAndNotBefore(t *testing.T) {
	m := mini(t)
	s := open(t, dial(t, m.Addr()))
	ctx := t.Context()
	first, err := s.Acquire(ctx, "k", lead(alice, envelope.Token{}))
	require.NoError(t, err)
	assert.Equal(t, store.Grant{Answer: store.Granted, Now: epoch.UnixMilli()}, first)

	m.SetTime(epoch.Add(time.Minute - time.Millisecond))
	second, err := s.Acquire(ctx, "k", lead(bob, envelope.Token{}))
	require.NoError(t, err)
	assert.Equal(t, store.Busy, second.Answer)
	assert.Equal(t, time.Millisecond, second.Left)

	m.SetTime(epoch.Add(time.Minute))
	third, err := s.Acquire(ctx, "k", lead(bob, envelope.Token{}))
	require.NoError(t, err)
	assert.Equal(t, store.Granted, third.Answer)
	verdict, err := s.Commit(ctx, "k", fill(alice))
	require.NoError(t, err)
	assert.Equal(t, store.Refused, verdict)
}

func TestRecordThatChangedIsHandedOverWithWhatItHasLeft(t *testing.T) {
	onEach(t, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		ctx := t.Context()
		text := record(envelope.Header{Kind: envelope.Value, CID: alice, Version: 9}, "body\x00\xff\r\n")
		require.NoError(t, c.Set(ctx, "k", text, time.Hour).Err())
		g, err := s.Acquire(ctx, "k", lead(bob, envelope.Token{}))
		require.NoError(t, err)
		assert.Equal(t, store.Held, g.Answer)
		assert.Equal(t, text, string(g.Record.Data))
		assert.InDelta(t, time.Hour, g.Record.PTTL, float64(time.Minute))

		require.NoError(t, c.Persist(ctx, "k").Err())
		g, err = s.Acquire(ctx, "k", lead(bob, envelope.Token{}))
		require.NoError(t, err)
		assert.Equal(t, time.Duration(-1), g.Record.PTTL)
	})
}

func TestMintedTokenStaysUntilItIsReplacedAndIsNotComputedByTheClient(t *testing.T) {
	onEach(t, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		ctx := t.Context()
		first, err := s.Mint(ctx, "tag", time.Minute, false)
		require.NoError(t, err)
		again, err := s.Mint(ctx, "tag", time.Hour, false)
		require.NoError(t, err)
		assert.Equal(t, first, again)
		assert.InDelta(t, time.Hour, c.PTTL(ctx, "tag").Val(), float64(time.Minute))
		assert.Equal(t, first.String(), c.Get(ctx, "tag").Val())

		other, err := s.Mint(ctx, "tag", time.Minute, true)
		require.NoError(t, err)
		assert.NotEqual(t, first, other)
		assert.Equal(t, other.String(), c.Get(ctx, "tag").Val())
	})
}

func TestTokenKeyThatHoldsSomethingElseIsAnError(t *testing.T) {
	c := dial(t, mini(t).Addr())
	s := open(t, c)
	require.NoError(t, c.Set(t.Context(), "tag", "short", 0).Err())
	_, err := s.Mint(t.Context(), "tag", time.Minute, false)
	var unexpected *store.AnswerError
	require.ErrorAs(t, err, &unexpected)
	assert.Equal(t, "mint", unexpected.Script)
	assert.ErrorContains(t, err, `mint: unexpected answer "short"`)
	assert.False(t, store.Infrastructure(err))
}
