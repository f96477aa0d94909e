package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

func TestPutMakesAKeyDirtyOnce(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		first := b.put("k", "one")
		assert.Equal(t, first, b.dirty("k"))
		second := b.put("k", "two")
		assert.Greater(t, second, first)
		assert.Equal(t, second, b.dirty("k"))
		assert.Equal(t, [4]int64{1, 1, 0, 0}, b.counts(), "one ticket for both")
		h, body := b.record("k")
		assert.Equal(t, envelope.Header{
			Kind: envelope.Dirty, Token: envelope.NoToken, CID: envelope.NoToken, Version: second,
		}, h)
		assert.Equal(t, "two", body)
		ttl, err := b.redis.PTTL(t.Context(), part.Record("k")).Result()
		require.NoError(t, err)
		assert.Negative(t, ttl, "a dirty record never expires")
	})
}

func TestPutRefusesOnlyKeysThatWouldBeOneTooMany(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		put := store.Put{Partition: part, Key: "a", Body: []byte("x"), MaxDirty: 1}
		_, full, err := b.store.Put(t.Context(), put)
		require.NoError(t, err)
		require.False(t, full)
		put.Key = "b"
		v, full, err := b.store.Put(t.Context(), put)
		require.NoError(t, err)
		assert.True(t, full)
		assert.Zero(t, v)
		assert.Equal(t, [4]int64{1, 1, 0, 0}, b.counts())
		h, _ := b.record("b")
		assert.Equal(t, envelope.Header{}, h, "nothing was stored")
		put.Key = "a"
		_, full, err = b.store.Put(t.Context(), put)
		require.NoError(t, err)
		assert.False(t, full, "a dirty key does not add to the number")
	})
}

func TestPutAndRetryLeaveForeignAndNewerRecordsAlone(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		ctx := t.Context()
		newer := record(envelope.Header{Kind: envelope.Value, CID: alice}, "body")
		for key, there := range map[string]string{"s": "hello", "kind": "K1Q" + newer[3:], "end": newer[:77] + "001body", "h": ""} {
			letter, put := b.kill(key, "x"), func() error { return b.redis.Set(ctx, part.Record(key), there, 0).Err() }
			if there == "" {
				put = func() error { return b.redis.HSet(ctx, part.Record(key), "f", "v").Err() }
			}
			require.NoError(t, put())
			before, counts := b.redis.Dump(ctx, part.Record(key)).Val(), b.counts()
			_, full, err := b.store.Put(ctx, store.Put{Partition: part, Key: key, Body: []byte("x"), MaxDirty: 9})
			assert.ErrorIs(t, err, store.ErrForeign, key)
			assert.False(t, full)
			assert.ErrorIs(t, b.retry(letter), store.ErrForeign, key)
			assert.Equal(t, before, b.redis.Dump(ctx, part.Record(key)).Val(), key)
			assert.Equal(t, counts, b.counts(), key)
		}
	})
}

func TestPutVersionsSurviveTheLossOfTheClock(t *testing.T) {
	t.Run("the counter is ahead of the time", func(t *testing.T) {
		onEachBehind(t, func(t *testing.T, b *behind) {
			ahead := uint64(time.Now().Add(time.Hour).UnixMicro())
			require.NoError(t, b.redis.Set(t.Context(), part.Clock, ahead, 0).Err())
			assert.Equal(t, ahead+1, b.put("k", "x"))
		})
	})
	t.Run("the counter is lost: the time is ahead of what it was", func(t *testing.T) {
		onEachBehind(t, func(t *testing.T, b *behind) {
			first := b.put("k", "x")
			require.NoError(t, b.redis.Del(t.Context(), part.Clock).Err())
			assert.Greater(t, b.put("k", "y"), first)
		})
	})
	t.Run("both are behind the key's own version", func(t *testing.T) {
		onEachBehind(t, func(t *testing.T, b *behind) {
			b.put("k", "x")
			ahead := uint64(time.Now().Add(time.Hour).UnixMicro())
			require.NoError(t, b.redis.HSet(t.Context(), part.Dirty, "k", ahead).Err())
			require.NoError(t, b.redis.Del(t.Context(), part.Clock).Err())
			assert.Equal(t, ahead+1, b.put("k", "y"))
		})
	})
}

// Schedule of a stale entry:
//
//  1. An Update announces itself: the record is an intent.
//  2. A put replaces the intent. Its value goes to the sink.
//  3. The Update changes the row after that, and its end leaves the record alone.
//  4. The put is acknowledged. Kept as an entry, it would hide the Update.
func TestAckDoesNotKeepAPutThatOvertookAWriteIntent(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		n, _, err := beginWrite(t.Context(), b.store, part.Record("k"), alice, time.Minute, store.Notice{})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		b.put("k", "one")
		v := b.put("k", "two")
		answer, err := endWrite(t.Context(), b.store, part.Record("k"), store.EndWrite{Token: alice})
		require.NoError(t, err)
		assert.Equal(t, store.EndLost, answer)
		_, body := b.record("k")
		assert.Equal(t, "two", body, "readable until it is acknowledged")
		assert.Equal(t, store.SettledClean, b.ack(settlement(b.takeOne(), v)))
		h, _ := b.record("k")
		assert.Equal(t, envelope.Header{}, h)
	})
}

func TestPutPublishesWhatItStored(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		sub := b.redis.Subscribe(t.Context(), "c")
		defer sub.Close()
		_, err := sub.Receive(t.Context())
		require.NoError(t, err)
		put := store.Put{
			Partition: part, Key: "k", Body: []byte("x"), MaxDirty: 1,
			Notice: store.Notice{Channel: "c", Message: "put"},
		}
		v, _, err := b.store.Put(t.Context(), put)
		require.NoError(t, err)
		put.Key, put.Notice.Message = "other", "refused"
		_, full, err := b.store.Put(t.Context(), put)
		require.NoError(t, err)
		require.True(t, full)
		s := settlement(b.takeOne(), v)
		s.Notice = store.Notice{Channel: "c", Message: "ack"}
		b.ack(s)
		for _, want := range []string{"put", "ack"} {
			m, err := sub.ReceiveMessage(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, m.Payload)
		}
	})
}

func TestPutIsNotSentTwice(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	b := openBehind(t, redistest.Dial(t, proxy.Addr()))
	b.put("k", "one") // teaches the script
	proxy.DropReplyTo(func(args [][]byte) bool { return string(args[0]) == "evalsha" })
	_, _, err := b.store.Put(t.Context(), store.Put{Partition: part, Key: "k", Body: []byte("two"), MaxDirty: 9})
	require.Error(t, err)
	assert.EqualValues(t, 2+1, proxy.CommandsNamed("evalsha")+proxy.CommandsNamed("eval"), "NOSCRIPT, EVAL, and one EVALSHA")
	_, body := b.record("k")
	assert.Equal(t, "two", body, "it was executed")
	assert.Equal(t, strconv.FormatUint(b.dirty("k"), 10), b.redis.Get(t.Context(), part.Clock).Val())
}

func TestPutIsOneRoundTrip(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr())
	b := openBehind(t, redistest.Dial(t, proxy.Addr()))
	v := b.put("a", "one")
	b.put("b", "one")
	tickets := b.take("worker")
	b.ack(settlement(tickets[0], v))
	proxy.Reset()
	v = b.put("c", "two")
	assert.EqualValues(t, 1, proxy.Exchanges(), "put")
	tickets = append(tickets, b.takeOne())
	proxy.Reset()
	_, errs := b.store.Ack(t.Context(), behindGroup, []store.Settlement{
		settlement(tickets[1], b.dirty("b")), settlement(tickets[2], v),
	})
	require.Equal(t, []error{nil, nil}, errs)
	assert.EqualValues(t, 1+1, proxy.Exchanges(), "reading the version, and both acks")
}
