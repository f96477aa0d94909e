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

func TestAckOfTheLatestVersionLeavesAnOrdinaryEntry(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		key := part.Record("k")
		sealed, crcAt, err := envelope.AppendBody(nil, &envelope.Body{Soft: time.Minute, Payload: []byte("one")})
		require.NoError(t, err)
		envelope.Seal(sealed, crcAt, key, 0)
		v := b.put("k", string(sealed))
		ticket := b.takeOne()
		assert.Equal(t, store.SettledClean, b.ack(settlement(ticket, v)))
		assert.Equal(t, [4]int64{}, b.counts())
		rec, err := read(t.Context(), b.store, key)
		require.NoError(t, err)
		h, body, err := envelope.Decode(rec.Data, key)
		require.NoError(t, err, "the checksum holds")
		assert.Equal(t, envelope.Value, h.Kind)
		assert.NotEqual(t, envelope.NoToken, h.CID, "who read it can name it")
		assert.Zero(t, h.Version)
		assert.Equal(t, "one", string(body.Payload))
		assert.InDelta(t, time.Minute, rec.PTTL, float64(5*time.Second))
		assert.Equal(t, store.SettledBefore, b.ack(settlement(ticket, v)), "safe to repeat")
	})
}

// A put's version is a time in µs. If the entry kept it, no loader's version would
// be as high, and the entry could not be refreshed until it expires.
func TestAcknowledgedEntryCanBeRefreshed(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		b.ack(settlement(b.takeOne(), v))
		h, _ := b.record("k")
		grant, err := acquire(t.Context(), b.store, part.Record("k"), store.Acquire{
			Token: alice, Lease: time.Minute, Retain: time.Minute, Seen: h.CID,
		})
		require.NoError(t, err)
		require.Equal(t, store.GrantedOver, grant.Answer)
		verdict, _, err := commit(t.Context(), b.store, part.Record("k"), store.Commit{
			Token: alice, TTL: time.Minute, Version: 17, Record: room("two"),
		})
		require.NoError(t, err)
		assert.Equal(t, store.Committed, verdict)
	})
}

func TestAckOfAnOlderVersionGivesANewTicket(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		first := b.put("k", "one")
		ticket := b.takeOne()
		second := b.put("k", "two")
		assert.Empty(t, b.take("other"), "the ticket is out")
		assert.Equal(t, store.SettledNewer, b.ack(settlement(ticket, first)))
		assert.Equal(t, [4]int64{1, 1, 0, 0}, b.counts())
		h, body := b.record("k")
		assert.Equal(t, envelope.Dirty, h.Kind)
		assert.Equal(t, "two", body)
		again := b.takeOne()
		assert.NotEqual(t, ticket.ID, again.ID)
		assert.Equal(t, store.SettledBefore, b.ack(settlement(ticket, second)), "that ticket is used up")
		assert.Equal(t, store.SettledClean, b.ack(settlement(again, second)))
	})
}

func TestAckWithoutTTLRemovesTheRecord(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		s := settlement(b.takeOne(), v)
		s.TTL = 0
		assert.Equal(t, store.SettledClean, b.ack(s))
		h, _ := b.record("k")
		assert.Equal(t, envelope.Header{}, h)
	})
}

func TestAckTouchesNoRecordButItsOwn(t *testing.T) {
	for name, there := range map[string]string{
		"a value":           record(envelope.Header{Kind: envelope.Value, CID: alice}, "other"),
		"a foreign string":  "hello",
		"another dirty one": record(envelope.Header{Kind: envelope.Dirty, Version: 5}, "other"),
	} {
		t.Run(name, func(t *testing.T) {
			onEachBehind(t, func(t *testing.T, b *behind) {
				v := b.put("k", "one")
				ticket := b.takeOne()
				require.NoError(t, b.redis.Set(t.Context(), part.Record("k"), there, 0).Err())
				assert.Equal(t, store.SettledClean, b.ack(settlement(ticket, v)))
				assert.Equal(t, there, b.redis.Get(t.Context(), part.Record("k")).Val())
				assert.Equal(t, [4]int64{}, b.counts())
			})
		})
	}
}

func TestSettlingAKeyThatIsNotDirtyOnlyUsesUpTheTicket(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		add := func() store.Ticket {
			require.NoError(t, b.redis.XAdd(t.Context(), &redis.XAddArgs{
				Stream: part.Tickets, Values: []string{"k", "k"},
			}).Err())
			return b.takeOne()
		}
		b.ack(settlement(b.takeOne(), v))
		assert.Equal(t, store.SettledClean, b.ack(settlement(add(), v)))
		assert.Equal(t, store.SettledIdle, b.bury(settlement(add(), v)))
		assert.Equal(t, [4]int64{}, b.counts())
	})
}

func TestBuryMovesTheValueToTheDeadLetters(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		raw := b.redis.Get(t.Context(), part.Record("k")).Val()
		s := settlement(b.takeOne(), v)
		s.Reason = "because"
		assert.Equal(t, store.SettledClean, b.bury(s))
		assert.Equal(t, [4]int64{0, 0, 1, 1}, b.counts())
		h, _ := b.record("k")
		assert.Equal(t, envelope.Header{}, h, "readers go to the system of record")
		letters := b.letters()
		require.Len(t, letters, 1)
		letters[0].ID = ""
		assert.Equal(t, store.Letter{Key: "k", Version: v, Record: []byte(raw), Reason: "because"}, letters[0])
		assert.Equal(t, store.SettledBefore, b.bury(s), "safe to repeat")
	})
}

func TestBuryOfAnOlderVersionGivesANewTicket(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		ticket := b.takeOne()
		b.put("k", "two")
		assert.Equal(t, store.SettledNewer, b.bury(settlement(ticket, v)))
		assert.Equal(t, [4]int64{1, 1, 0, 0}, b.counts())
	})
}

func TestBuryOfALostRecordLeavesALetterWithoutOne(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		v := b.put("k", "one")
		ticket := b.takeOne()
		require.NoError(t, b.redis.Set(t.Context(), part.Record("k"), "hello", 0).Err())
		assert.Equal(t, store.SettledClean, b.bury(settlement(ticket, v)))
		letters := b.letters()
		require.Len(t, letters, 1)
		assert.Nil(t, letters[0].Record)
		assert.Equal(t, "hello", b.redis.Get(t.Context(), part.Record("k")).Val())
		assert.ErrorIs(t, b.retry(letters[0]), store.ErrForeign)
		require.NoError(t, b.redis.Del(t.Context(), part.Record("k")).Err())
		assert.ErrorIs(t, b.retry(letters[0]), store.ErrLost)
	})
}
