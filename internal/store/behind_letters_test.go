package store_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

func TestDeadMovesTheRecordAndRequeueMovesItBack(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		v := s.put("k", "\x01\x01body")
		assert.Equal(t, store.DeadLetter, s.dead(s.claimOne(), "why not"))
		assert.Equal(t, [5]int64{0, 0, 0, 1, 1}, s.counts())
		h, _ := s.record(part.Record("k"))
		assert.Equal(t, envelope.Header{}, h, "readers go to the system of record")
		all := s.letters()
		require.Len(t, all, 1)
		l := all[0]
		assert.NotZero(t, l.Since)
		assert.Equal(t, store.Letter{
			Partition: part, Key: "k", Version: fmt.Sprintf("%016x", v), Since: l.Since, Deleted: true, Size: envelope.HeaderSize + 6, Reason: "why not",
		}, l)
		records, err := s.store.LetterRecords(t.Context(), all)
		require.NoError(t, err)
		assert.Equal(t, "\x01\x01body", bodyIn(records[0]))

		other := l
		other.Version = fmt.Sprintf("%016x", v+1)
		assert.ErrorIs(t, s.requeue(other), store.ErrNoLetter)
		assert.ErrorIs(t, s.drop(other), store.ErrNoLetter)
		require.NoError(t, s.requeue(l))
		assert.ErrorIs(t, s.requeue(l), store.ErrNoLetter)
		assert.Equal(t, [5]int64{1, 1, 0, 0, 0}, s.counts())
		h, body := s.record(part.Record("k"))
		assert.Equal(t, v, h.Version)
		assert.Equal(t, "\x01\x01body", body)

		assert.Equal(t, store.DeadLetter, s.dead(s.claimOne(), "still not"))
		require.NoError(t, s.drop(l))
		assert.Equal(t, [5]int64{}, s.counts())
		assert.Zero(t, s.redis.Exists(t.Context(), part.Record("k"), part.Letter+"k").Val())
	})
}

func TestDeadLeavesANewerValueAlone(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		s.put("k", "one")
		k := s.claimOne()
		s.put("k", "two")
		assert.Equal(t, store.DeadNewer, s.dead(k, "no"))
		next := s.claimOne()
		assert.Greater(t, next.Version, k.Version, "and it is due")
		assert.Equal(t, [5]int64{1, 1, 0, 0, 0}, s.counts())
	})
}

func TestAValueThatIsLostLeavesALetterWithoutIt(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		s.put("k", "one")
		require.NoError(t, s.redis.Del(t.Context(), part.Record("k")).Err())
		k := s.claimOne()
		assert.Empty(t, k.Version)
		assert.Equal(t, store.DeadLetter, s.dead(k, "gone"))
		all := s.letters()
		require.Len(t, all, 1)
		assert.Empty(t, all[0].Version)
		assert.ErrorIs(t, s.requeue(all[0]), store.ErrLost)
		require.NoError(t, s.drop(all[0]))
		assert.Equal(t, [5]int64{}, s.counts())
	})
}

func TestRequeueIsRefusedOverSomethingNewer(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		ctx := t.Context()
		l := s.kill("k", "one")
		intent := []store.Intent{{Key: part.Record("k"), Token: alice}}
		s.store.BeginWrite(ctx, intent, time.Minute, nil)
		assert.ErrorIs(t, s.requeue(l), store.ErrNewer, "a write is in progress")
		require.NoError(t, s.redis.Del(ctx, part.Record("k")).Err())

		dirty, err := s.store.Overtake(ctx, part, "k")
		require.NoError(t, err)
		assert.False(t, dirty)
		assert.ErrorIs(t, s.requeue(l), store.ErrNewer, "it was written past the cache since")
		assert.Len(t, s.letters(), 1, "what it holds is still to be seen")

		s.put("k", "two")
		assert.ErrorIs(t, s.requeue(l), store.ErrNoLetter, "a put takes its place")
		dirty, err = s.store.Overtake(ctx, part, "k")
		require.NoError(t, err)
		assert.True(t, dirty)
	})
}

// W24: nothing named the record, and no put came.
func TestOvertakeFindsADirtyRecordThatNothingNames(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		s.put("k", "one")
		require.NoError(t, s.redis.Del(t.Context(), part.Dirty, part.Schedule).Err())
		dirty, err := s.store.Overtake(t.Context(), part, "k")
		require.NoError(t, err)
		assert.True(t, dirty)
		assert.Equal(t, store.AckClean, s.ack(s.claimOne(), time.Minute))
	})
}

// Those that go while somebody reads page by page must not hide the others.
func TestLettersComeInPagesOfWhichNoneIsMissed(t *testing.T) {
	onEachSchedule(t, func(t *testing.T, s *schedule) {
		for i := range 7 {
			s.kill(strconv.Itoa(i), "x")
		}
		seen := map[string]int{}
		for at := new(store.LetterPage); ; {
			page, err := s.store.Letters(t.Context(), part, at, time.UnixMilli(future), 2)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, l := range page {
				seen[l.Key]++
				require.NoError(t, s.drop(l))
			}
		}
		assert.Len(t, seen, 7)
		none, err := s.store.Letters(t.Context(), part, new(store.LetterPage), time.UnixMilli(past), 2)
		require.NoError(t, err)
		assert.Empty(t, none)
	})
}
