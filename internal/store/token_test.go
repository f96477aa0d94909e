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

var tagKey = store.TokenKey{Key: "tag", TTL: time.Minute}

// captured is the token under tagKey after a capture.
func captured(t *testing.T, s *store.Store, k store.TokenKey) envelope.Token {
	t.Helper()
	tokens, err := s.Capture(t.Context(), []store.TokenKey{k})
	require.NoError(t, err)
	require.Len(t, tokens, 1)
	return tokens[0]
}

func TestMintedTokenStaysUntilItIsReplacedAndIsNotComputedByTheClient(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		ctx := t.Context()
		first := captured(t, s, tagKey)
		assert.Equal(t, first, captured(t, s, store.TokenKey{Key: "tag", TTL: time.Hour}))
		assert.InDelta(t, time.Hour, c.PTTL(ctx, "tag").Val(), float64(time.Minute))
		assert.Equal(t, first.String(), c.Get(ctx, "tag").Val())

		other, err := replace(ctx, s, tagKey, store.Notice{})
		require.NoError(t, err)
		assert.NotEqual(t, first, other)
		assert.Equal(t, other.String(), c.Get(ctx, "tag").Val())
		minted, errs := s.Replace(ctx, []store.TokenKey{tagKey, {Key: "second", TTL: time.Minute}}, store.Notice{})
		require.Equal(t, make([]error, 2), errs)
		read, err := s.ReadTokens(ctx, []string{"tag", "second", "third"})
		require.NoError(t, err)
		assert.NotEqual(t, other, read[0])
		assert.Equal(t, minted, read[:2])
		assert.Equal(t, envelope.Token{}, read[2], "missing")
	})
}

// InvalidateAll takes a token that is above its own for a later one: so a new token is
// above the one it replaces, also where the clock of Redis has gone back.
func TestATokenIsAboveTheOneItReplacesWhateverTheClock(t *testing.T) {
	m := mini(t)
	s := open(t, redistest.Dial(t, m.Addr()))
	old := captured(t, s, tagKey)
	m.SetTime(epoch.Add(-time.Hour))
	for range 3 {
		next, err := replace(t.Context(), s, tagKey, store.Notice{})
		require.NoError(t, err)
		require.Greater(t, next.String()[:13], old.String()[:13])
		old = next
	}
}

// What is no token is replaced, whatever it is.
func TestAReplacedTokenNeedNotHaveBeenOne(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		for _, text := range []string{"short", "ffffffffffffffff", "zzzzzzzzzzzzzzzz"} {
			require.NoError(t, c.Set(t.Context(), "tag", text, 0).Err())
			next, err := replace(t.Context(), s, tagKey, store.Notice{})
			require.NoError(t, err, text)
			assert.Equal(t, next, captured(t, s, tagKey))
		}
		require.NoError(t, c.Del(t.Context(), "tag").Err())
		require.NoError(t, c.LPush(t.Context(), "tag", "another type").Err())
		next, err := replace(t.Context(), s, tagKey, store.Notice{})
		require.NoError(t, err)
		assert.Equal(t, next, captured(t, s, tagKey))
	})
}

func TestTokenWithoutLifetimeNeverExpires(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		forever := store.TokenKey{Key: "clear"}
		first := captured(t, s, forever)
		assert.Equal(t, first, captured(t, s, forever))
		assert.EqualValues(t, -1, c.PTTL(t.Context(), "clear").Val())
		_, err := replace(t.Context(), s, forever, store.Notice{})
		require.NoError(t, err)
		assert.EqualValues(t, -1, c.PTTL(t.Context(), "clear").Val())
	})
}

func TestAcquireCommitAndIntentTakeTokensAlong(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		ctx := t.Context()
		g, before, err := acquireTagged(ctx, s, "k", lead(alice, envelope.Token{}), tagKey, store.TokenKey{Key: "clear"})
		require.NoError(t, err)
		assert.Equal(t, store.Granted, g.Answer)
		require.Len(t, before, 2)
		assert.Equal(t, captured(t, s, tagKey), before[0])

		_, err = replace(ctx, s, tagKey, store.Notice{})
		require.NoError(t, err)
		verdict, tokens, err := commit(ctx, s, "k", fill(alice), "clear", "tag", "gone")
		require.NoError(t, err)
		assert.Equal(t, store.Committed, verdict)
		require.Len(t, tokens, 3)
		assert.Equal(t, before[1], tokens[0])
		assert.NotEqual(t, before[0], tokens[1])
		assert.Equal(t, envelope.Token{}, tokens[2])

		n, tokens, err := beginWrite(ctx, s, "k", bob, time.Minute, store.Notice{}, tagKey)
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.Equal(t, []envelope.Token{captured(t, s, tagKey)}, tokens)
	})
}

func TestTokenKeyThatHoldsSomethingElseIsAnError(t *testing.T) {
	c := redistest.Dial(t, mini(t).Addr())
	s := open(t, c)
	require.NoError(t, c.Set(t.Context(), "tag", "short", 0).Err())
	_, err := s.Capture(t.Context(), []store.TokenKey{tagKey})
	var unexpected *store.AnswerError
	require.ErrorAs(t, err, &unexpected)
	assert.Equal(t, "mint", unexpected.Script)
	assert.ErrorContains(t, err, `mint: unexpected answer "short"`)
	assert.False(t, store.Infrastructure(err))
}
