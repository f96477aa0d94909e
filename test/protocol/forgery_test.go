package protocol_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/testkit"
)

// locked is a codec whose key who writes to Redis does not have.
var locked = cache.Encrypted(cache.JSON, cache.KeyRing{
	Current: "new", Keys: map[string][]byte{"new": bytes.Repeat([]byte("n"), 32), "old": bytes.Repeat([]byte("o"), 32)},
})

// forge changes the record under a Redis key, and gives it the checksum that it has to have.
func forge(t *testing.T, rdb redis.UniversalClient, redisKey string, change func(*envelope.Header, *envelope.Body)) {
	t.Helper()
	raw, err := rdb.Get(t.Context(), redisKey).Bytes()
	require.NoError(t, err)
	header, body, err := envelope.Decode(raw, redisKey)
	require.NoError(t, err)
	change(&header, &body)
	record, crcAt, err := envelope.AppendBody(envelope.AppendHeader(nil, header), &body)
	require.NoError(t, err)
	envelope.Seal(record[envelope.HeaderSize:], crcAt, redisKey, header.SealedVersion())
	require.NoError(t, rdb.Set(t.Context(), redisKey, record, redis.KeepTTL).Err())
}

// forgeries are what who does not have the key may make of a record.
var forgeries = map[string]func(*envelope.Header, *envelope.Body){
	"an absence":               func(_ *envelope.Header, b *envelope.Body) { b.Absent, b.Payload = true, nil },
	"an absence that keeps it": func(_ *envelope.Header, b *envelope.Body) { b.Absent = true },
	"an absence of its own":    func(_ *envelope.Header, b *envelope.Body) { b.Absent, b.Payload, b.Proof = true, nil, nil },
	"no proof":                 func(_ *envelope.Header, b *envelope.Body) { b.Proof = nil },
	"a shorter proof":          func(_ *envelope.Header, b *envelope.Body) { b.Proof = b.Proof[:8] },
	"less of it stale":         func(_ *envelope.Header, b *envelope.Body) { b.Grace -= 30 * time.Second },
	"a longer freshness":       func(_ *envelope.Header, b *envelope.Body) { b.Soft += time.Hour },
	"a later load":             func(_ *envelope.Header, b *envelope.Body) { b.LoadedAt += 1000 },
	"a cheaper load":           func(_ *envelope.Header, b *envelope.Body) { b.Delta, b.EWMA = 0, 0 },
	"no tags":                  func(_ *envelope.Header, b *envelope.Body) { b.Tags = nil },
}

// W16. Who can write to Redis and does not have the key can delete what it holds, and
// nothing else: of all that an Encrypted entry says of itself nothing can be changed.
func TestWhoHasNoKeyChangesNothingOfAnEntry(t *testing.T) {
	t.Parallel()
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		open := func(codec cache.Codec, key string) *cache.Cache[string] {
			c := testkit.NewCache[string](t, rdb, cache.WithCodec(codec), testkit.Class(func(ttl *cache.TTL) {
				ttl.StaleIfError, ttl.Absent = time.Minute, time.Minute
			}))
			_, err := c.GetOrLoad(ctx, key, testkit.Value("genuine"), cache.Tagged("a"))
			require.NoError(t, err)
			return c
		}
		for name, change := range forgeries {
			t.Run(name, func(t *testing.T) {
				if name != "no proof" && name != "a shorter proof" && name != "no tags" {
					// The control: a codec that proves nothing serves what was forged.
					c := open(cache.JSON, "plain "+name)
					forge(t, rdb, "test:plain "+name, change)
					_, err := c.Get(ctx, "plain "+name)
					assert.NotErrorIs(t, err, cache.ErrMiss, "the control")
				}
				c := open(locked, name)
				before := c.Stats().Corrupt
				forge(t, rdb, "test:"+name, func(*envelope.Header, *envelope.Body) {})
				testkit.Has(t, c, name, "genuine", "nothing was changed")
				forge(t, rdb, "test:"+name, change)
				_, err := c.Get(ctx, name)
				require.ErrorIs(t, err, cache.ErrMiss)
				assert.Equal(t, before+1, c.Stats().Corrupt)
				got, err := c.GetOrLoad(ctx, name, testkit.Value("loaded"))
				require.NoError(t, err)
				assert.Equal(t, "loaded", got)
				testkit.Has(t, c, name, "loaded", "it heals")
			})
		}
		t.Run("a value over an absence", func(t *testing.T) {
			c := open(locked, "value")
			_, err := c.GetOrLoad(ctx, "absent", testkit.Failing[string](cache.ErrNotFound))
			require.ErrorIs(t, err, cache.ErrNotFound)
			_, err = c.Get(ctx, "absent")
			require.ErrorIs(t, err, cache.ErrNotFound, "genuine, though there is nothing to encrypt")
			raw, err := rdb.Get(ctx, "test:value").Bytes()
			require.NoError(t, err)
			_, value, err := envelope.Decode(raw, "test:value")
			require.NoError(t, err)
			forge(t, rdb, "test:absent", func(_ *envelope.Header, b *envelope.Body) { *b = value })
			_, err = c.Get(ctx, "absent")
			assert.ErrorIs(t, err, cache.ErrMiss)
		})
	})
}

// The keys of a ring that are not current prove what they encrypted.
func TestProofsOfARotatedKeyHold(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		old := cache.Encrypted(cache.JSON, cache.KeyRing{Current: "old", Keys: map[string][]byte{"old": bytes.Repeat([]byte("o"), 32)}})
		class := testkit.Class(func(ttl *cache.TTL) { ttl.Absent = time.Minute })
		before := testkit.NewCache[string](t, rdb, cache.WithCodec(old), class)
		_, err := before.GetOrLoad(t.Context(), "k", testkit.Value("v"))
		require.NoError(t, err)
		_, err = before.GetOrLoad(t.Context(), "absent", testkit.Failing[string](cache.ErrNotFound))
		require.ErrorIs(t, err, cache.ErrNotFound)
		after := testkit.NewCache[string](t, rdb, cache.WithCodec(locked), class)
		testkit.Has(t, after, "k", "v")
		_, err = after.Get(t.Context(), "absent")
		assert.ErrorIs(t, err, cache.ErrNotFound)
	})
}

// What the header says, and how long Redis keeps a record, may be anybody's: where the clock
// of Redis is known, an entry is fresh for no longer than its sealed times allow.
func TestAnEncryptedEntryIsNotProlonged(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		rdb, ctx := b.Redis(t), t.Context()
		rdb.AddHook(testkit.Claims{})
		c := testkit.NewCache[string](t, rdb, cache.WithCodec(locked), cache.Expires(&cache.TTL{Fresh: time.Minute, Jitter: -1}))
		_, err := c.GetOrLoad(ctx, "clock", testkit.Value("v"))
		require.NoError(t, err)
		_, err = c.GetOrLoad(ctx, "k", testkit.Value("old"))
		require.NoError(t, err)
		require.NoError(t, rdb.Persist(ctx, "test:k").Err())
		forge(t, rdb, "test:k", func(h *envelope.Header, _ *envelope.Body) { h.Fresh += 2 * time.Hour.Milliseconds() })
		time.Sleep(50 * time.Second)
		testkit.Has(t, c, "k", "old")
		time.Sleep(15 * time.Second)
		_, err = c.Get(ctx, "k")
		assert.ErrorIs(t, err, cache.ErrMiss)
	})
}

// W16: a forged deletion, or a value that is put into the schedule, does not reach the sink.
func TestAForgedWriteDoesNotReachTheSink(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		encrypts := cache.WithCodec(locked)
		putter := testkit.NewPutter(t, rdb, encrypts)
		keys := map[string]func(*envelope.Header, *envelope.Body){"genuine": func(*envelope.Header, *envelope.Body) {}}
		for _, name := range []string{"an absence", "an absence of its own", "no proof", "less of it stale"} {
			keys[name] = forgeries[name]
		}
		for key, change := range keys {
			require.NoError(t, putter.Set(ctx, key, "genuine"))
			why, err := putter.Explain(ctx, key)
			require.NoError(t, err)
			forge(t, rdb, why.RedisKey, change)
		}
		require.NoError(t, putter.Set(ctx, "deleted", "genuine"))
		require.NoError(t, putter.Delete(ctx, "deleted"))

		rows := testkit.NewLedger()
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{MaxAttempts: 1}, encrypts)
		require.NoError(t, c.Flush(ctx))
		assert.Equal(t, map[string]string{"genuine": "genuine"}, rows.Values())
		assert.Len(t, rows.Of("deleted"), 1, "a deletion of somebody who has the key")
		for key := range keys {
			if key != "genuine" {
				assert.Empty(t, rows.Of(key), key)
			}
		}
		letters := testkit.Letters(t, c)
		assert.Len(t, letters, len(keys)-1)
		for _, l := range letters {
			assert.Contains(t, l.Reason, "changed by somebody who does not have the key")
		}
	})
}

// W15: under Encrypted the reason of a dead letter, which may quote the value, is no clear
// text in Redis, and reads as it was.
func TestTheReasonOfADeadLetterIsEncrypted(t *testing.T) {
	t.Parallel()
	testkit.EachBehind(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, secret := t.Context(), "duplicate entry 'ada@example.com'"
		rows := testkit.NewLedger()
		rows.Before = func(context.Context, []cache.Mutation[string]) error {
			return &cache.PermanentError{Err: errText(secret)}
		}
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{}, cache.WithCodec(locked))
		require.NoError(t, c.Set(ctx, "k", "v"))
		require.NoError(t, c.Flush(ctx))
		letters := testkit.Letters(t, c)
		require.Len(t, letters, 1)
		assert.Equal(t, secret, letters[0].Reason)
		n, err := c.DropDeadLetters(ctx, func(l cache.DeadLetter) bool { return l.Reason != secret })
		require.NoError(t, err)
		assert.Zero(t, n, "reasons match as they are")
		for _, key := range rdb.Keys(ctx, "*").Val() {
			for field, reason := range rdb.HGetAll(ctx, key).Val() {
				assert.NotContains(t, reason, "ada@example.com", field)
			}
		}
		other := cache.Encrypted(cache.JSON, cache.KeyRing{Current: "x", Keys: map[string][]byte{"x": make([]byte, 32)}})
		stranger := testkit.NewPutter(t, rdb, cache.WithCodec(other))
		letters = testkit.Letters(t, stranger)
		require.Len(t, letters, 1)
		assert.Contains(t, letters[0].Reason, "not in the key ring")
	})
}

// errText is an error that says what it is.
type errText string

func (e errText) Error() string { return string(e) }
