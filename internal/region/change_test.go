package region_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
)

func TestWhatRedisDoesNotTakeIsQueuedAndBarsItsKeysAlone(t *testing.T) {
	in(t, "of keys", func(t *testing.T, w *world) {
		for _, key := range []string{"a", "b", "c"} {
			w.keep(key)
		}
		w.wire.refuse(errRefused, w.RedisKey("b"))
		errs := w.Invalidate(t.Context(), []string{"a", "b", "b", "c"})
		require.Len(t, errs, 4, "aligned with the keys")
		for i, fails := range []bool{false, true, true, false} {
			assert.Equal(t, fails, errs[i] != nil)
		}
		assert.ErrorIs(t, errs[1], pending.Err)
		assert.ErrorIs(t, errs[1], errRefused)
		assert.EqualValues(t, 1, w.Pending.Len(), "twice is once")
		assert.NotEmpty(t, w.Obstacle("b", nil))
		assert.Empty(t, w.Obstacle("a", nil))
		w.wire.refuse(nil)
		require.NoError(t, w.Pending.Flush(t.Context()))
		assert.Empty(t, w.Obstacle("b", nil))
		states, _ := w.look([]string{"a", "b", "c"})
		assert.Equal(t, []record.State{gone, gone, gone}, states)
	})
	in(t, "of keys that were to become stale", func(t *testing.T, w *world) {
		w.keep("a")
		w.wire.refuse(errRefused, w.RedisKey("a"))
		require.Len(t, compact(w.Expire(t.Context(), []string{"a"}, time.Minute)), 1)
		w.wire.refuse(nil)
		require.NoError(t, w.Pending.Flush(t.Context()))
		states, _ := w.look([]string{"a"})
		assert.Equal(t, []record.State{gone}, states, "it is removed: nobody knows any more for how long it may be served")
	})
	in(t, "of tags", func(t *testing.T, w *world) {
		w.keep("a", w.tags("red")...)
		w.keep("b", w.tags("blue")...)
		w.wire.refuse(errRefused, w.TagOf("red").Key)
		errs := w.InvalidateTags(t.Context(), w.tags("blue", "red"))
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], pending.Err)
		assert.NotEmpty(t, w.Obstacle("a", w.tags("other", "red")))
		assert.Empty(t, w.Obstacle("b", w.tags("blue")))
		w.wire.refuse(nil)
		require.NoError(t, w.Pending.Flush(t.Context()))
		states, _ := w.look([]string{"a", "b"})
		assert.Equal(t, []record.State{void, void}, states)
	})
	in(t, "and none of no keys", func(t *testing.T, w *world) {
		_, pipelines := w.wire.count("", func() {
			assert.Empty(t, w.Invalidate(t.Context(), nil))
			assert.Empty(t, w.InvalidateTags(t.Context(), nil))
		})
		assert.Zero(t, pipelines)
	})
	in(t, "and a change does not end with its caller", func(t *testing.T, w *world) {
		w.keep("a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.Empty(t, compact(w.Invalidate(ctx, []string{"a"})))
		states, _ := w.look([]string{"a"})
		assert.Equal(t, []record.State{gone}, states)
	})
}

func TestAnIntentBarsItsKeyUntilItIsClosed(t *testing.T) {
	state := func(w *world) record.State { states, _ := w.look([]string{"k"}); return states[0] }
	kept := func(w *world) *region.Wanted { return &region.Wanted{Class: hour, Tags: w.tags("t")} }
	in(t, "and then has the entry", func(t *testing.T, w *world) {
		i, open, err := w.Intend(t.Context(), "k", time.Minute, kept(w))
		require.NoError(t, err)
		assert.Equal(t, 1, open)
		assert.True(t, i.Sent())
		assert.Equal(t, record.Bypassed, state(w))
		assert.Equal(t, w.tokenAt(w.Space.Clear()), i.Stamp.Clear.String())
		assert.Equal(t, w.tokenAt(w.TagOf("t").Key), i.Stamp.Tags.At(0).Token.String())
		require.NoError(t, i.Close(t.Context(), w.entry("k", i.Stamp)))
		assert.Equal(t, fresh, state(w))
	})
	in(t, "and has nothing where another write overlapped", func(t *testing.T, w *world) {
		i, _, err := w.Intend(t.Context(), "k", time.Minute, kept(w))
		require.NoError(t, err)
		j, open, err := w.Intend(t.Context(), "k", time.Minute, nil)
		require.NoError(t, err)
		assert.Equal(t, 2, open)
		require.NoError(t, i.Close(t.Context(), w.entry("k", i.Stamp)))
		assert.Equal(t, record.Bypassed, state(w))
		require.NoError(t, j.Close(t.Context(), nil))
		assert.Equal(t, gone, state(w))
	})
	in(t, "and an entry whose tag was invalidated meanwhile is void", func(t *testing.T, w *world) {
		i, _, err := w.Intend(t.Context(), "k", time.Minute, kept(w))
		require.NoError(t, err)
		require.Empty(t, compact(w.InvalidateTags(t.Context(), w.tags("t"))))
		require.NoError(t, i.Close(t.Context(), w.entry("k", i.Stamp)))
		assert.Equal(t, void, state(w))
	})
	in(t, "which the queue does where Redis fails", func(t *testing.T, w *world) {
		i, _, err := w.Intend(t.Context(), "k", time.Minute, nil)
		require.NoError(t, err)
		w.wire.refuse(errRefused, w.RedisKey("k"))
		require.ErrorIs(t, i.Close(t.Context(), nil), pending.Err)
		w.wire.refuse(nil)
		require.NoError(t, w.Pending.Flush(t.Context()))
		assert.Equal(t, gone, state(w), "and not after the minute")
	})
	in(t, "and one that was not sent is closed all the same", func(t *testing.T, w *world) {
		w.keep("k")
		w.wire.refuse(errDial, w.RedisKey("k"))
		i, _, err := w.Intend(t.Context(), "k", time.Minute, nil)
		require.True(t, store.NotSent(err))
		assert.False(t, i.Sent())
		require.ErrorIs(t, i.Close(t.Context(), nil), pending.Err)
		w.wire.refuse(nil)
		ends := 0
		w.wire.meet("evalsha", w.RedisKey("k"), func() { ends++ })
		require.NoError(t, w.Pending.Flush(t.Context()))
		assert.Equal(t, 1, ends, "an invalidation, and no intent to end")
		assert.Equal(t, gone, state(w))
	})
	in(t, "and one whose tokens were not captured is there", func(t *testing.T, w *world) {
		w.wire.refuse(errDial, w.TagOf("t").Key)
		i, _, err := w.Intend(t.Context(), "k", time.Minute, kept(w))
		require.Error(t, err)
		assert.True(t, i.Sent())
		assert.Equal(t, record.Bypassed, state(w))
		require.NoError(t, i.Close(t.Context(), nil))
		assert.Equal(t, gone, state(w))
	})
	in(t, "unless the record is not ours", func(t *testing.T, w *world) {
		w.rdb.Set(t.Context(), w.RedisKey("k"), "somebody's", redis.KeepTTL)
		i, open, err := w.Intend(t.Context(), "k", time.Minute, nil)
		require.NoError(t, err)
		assert.Equal(t, store.IntentForeign, open)
		require.NoError(t, i.Close(t.Context(), nil))
		assert.Equal(t, "somebody's", w.tokenAt(w.RedisKey("k")))
	})
}

func TestWhatTakesThePlaceOfAnEntryKeepsItsTagsWhileThereIsRoom(t *testing.T) {
	in(t, "for eight", func(t *testing.T, w *world) {
		rec := &record.Record{}
		for _, tag := range w.tags("a", "b", "c", "d", "e", "f", "g") {
			rec.Body.Tags = envelope.AppendTag(rec.Body.Tags, envelope.Tag{ID: tag.ID, Token: older})
		}
		tags, fit := w.TagsInPlaceOf(rec, w.tags("b", "new"))
		assert.True(t, fit)
		assert.Equal(t, w.tags("b", "new", "a", "c", "d", "e", "f", "g"), tags)
		tags, fit = w.TagsInPlaceOf(rec, w.tags("new", "newer"))
		assert.False(t, fit)
		assert.Equal(t, w.tags("new", "newer"), tags, "those of the call")
	})
}
