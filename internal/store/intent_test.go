package store_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// A writer that is gone keeps nobody from the key for longer than its own intent,
// however often others write it meanwhile.
func TestAnIntentEndsAtItsOwnDeadlineHoweverOftenOthersWrite(t *testing.T) {
	m := mini(t)
	s := open(t, redistest.Dial(t, m.Addr()))
	begin := func(writer envelope.Token) int {
		n, _, err := beginWrite(t.Context(), s, "k", writer, 30*time.Second, store.Notice{})
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 1, begin(alice)) // and dies
	for at := time.Duration(0); at <= 60*time.Second; at += 2 * time.Second {
		m.SetTime(epoch.Add(at))
		writer := envelope.NewToken()
		open := begin(writer)
		answer, err := endWrite(t.Context(), s, "k", store.EndWrite{
			Token: writer, TTL: time.Minute, Soft: time.Minute, Record: room("body"),
		})
		require.NoError(t, err)
		if at < 30*time.Second {
			require.Equal(t, 2, open, "after %v", at)
			require.Equal(t, store.EndOpen, answer, "after %v", at)
			continue
		}
		require.Equal(t, 1, open, "after %v", at)
		require.Equal(t, store.EndStored, answer, "after %v", at)
	}
}

// A write that is over before one that began earlier ends with it, and what is left of
// the record is no longer than the last of them.
func TestARecordOfIntentsLivesAsLongAsTheLastOfThem(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		for writer, d := range map[envelope.Token]time.Duration{alice: time.Hour, bob: time.Minute} {
			_, _, err := beginWrite(t.Context(), s, "k", writer, d, store.Notice{})
			require.NoError(t, err)
		}
		assert.InDelta(t, time.Hour, c.PTTL(t.Context(), "k").Val(), float64(30*time.Second))
		answer, err := endWrite(t.Context(), s, "k", store.EndWrite{Token: alice})
		require.NoError(t, err)
		require.Equal(t, store.EndOpen, answer)
		assert.InDelta(t, time.Minute, c.PTTL(t.Context(), "k").Val(), float64(30*time.Second))
	})
}

// The end of one of many writes costs Redis time for each of them once: nobody else is
// served meanwhile.
func TestEndingOneOfAThousandWritesTakesNoLongerThanAMillisecondOrTwo(t *testing.T) {
	const writes = 1000
	server := redistest.Single(t)
	c := server.Client(t)
	s := open(t, c)
	var list []byte
	tokens := make([]envelope.Token, writes)
	for i := range tokens {
		tokens[i] = envelope.NewToken()
		list = envelope.AppendIntent(list, tokens[i], future)
	}
	plant := func() {
		rec := record(envelope.Header{Kind: envelope.Intent, Until: future, Conflict: true}, string(list))
		require.NoError(t, c.Set(t.Context(), "k", rec, time.Hour).Err())
	}
	plant()
	_, err := endWrite(t.Context(), s, "k", store.EndWrite{Token: tokens[0]}) // the script is known from now on
	require.NoError(t, err)
	best := time.Hour
	for i := range 20 {
		plant()
		require.NoError(t, c.ConfigResetStat(t.Context()).Err())
		answer, err := endWrite(t.Context(), s, "k", store.EndWrite{Token: tokens[i*writes/20]})
		require.NoError(t, err)
		require.Equal(t, store.EndOpen, answer)
		best = min(best, took(t, c, "evalsha"))
	}
	t.Log(best)
	assert.Less(t, best, 3*time.Millisecond)
}

// took is how long the server has been busy with commands of that name since its
// figures were reset.
func took(t *testing.T, c *redis.Client, command string) time.Duration {
	t.Helper()
	_, text, found := strings.Cut(c.Info(t.Context(), "commandstats").Val(), "cmdstat_"+command+":")
	require.True(t, found)
	_, text, _ = strings.Cut(text, "usec=")
	text, _, _ = strings.Cut(text, ",")
	us, err := strconv.Atoi(text)
	require.NoError(t, err)
	return time.Duration(us) * time.Microsecond
}
