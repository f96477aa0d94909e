package region_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
)

func TestALoadStoresWithTheTokensThatWereBeforeIt(t *testing.T) {
	keys := []string{"a", "b"}
	for _, c := range []struct {
		name   string
		during func(w *world)
		ends   load.Outcome
		state  record.State
	}{
		{"and nothing happens", nil, load.Stored, fresh},
		{"and its tag is invalidated by another process", func(w *world) {
			w.rdb.Set(context.Background(), w.TagOf("t").Key, "fffffffffffffAAA", 0)
		}, load.Stored, void},
		{"and its tag is invalidated here", func(w *world) { w.InvalidateTags(context.Background(), w.tags("t")) }, load.Loaded, gone},
		{"and the cache is cleared by another process", func(w *world) {
			w.rdb.Set(context.Background(), w.Space.Clear(), "fffffffffffffAAA", 0)
			w.Clear.Drop() // it heard of that
		}, load.Stored, void},
		{"and its keys are invalidated by another process", func(w *world) {
			for _, key := range keys {
				w.rdb.Del(context.Background(), w.RedisKey(key))
			}
		}, load.Loaded, gone},
		{"and an invalidation of its keys is queued", func(w *world) {
			w.wire.refuse(errRefused, w.RedisKey("a"), w.RedisKey("b"))
			w.Invalidate(context.Background(), keys)
			w.wire.refuse(nil)
		}, load.Loaded, gone},
	} {
		in(t, c.name, func(t *testing.T, w *world) {
			v := &values{}
			if c.during != nil {
				v.during = func() { c.during(w) }
			}
			for _, r := range w.load(v, keys, w.tags("t")...) {
				assert.Equal(t, c.ends, r.Outcome)
			}
			w.Pending.Hurry()
			require.NoError(t, w.Pending.Flush(t.Context()))
			states, errs := w.look(keys)
			assert.Equal(t, []record.State{c.state, c.state}, states)
			assert.Empty(t, compact(errs))
		})
	}
}

func TestALoadThatFindsAnotherRecordTakesIt(t *testing.T) {
	in(t, "unless a token of it was replaced", func(t *testing.T, w *world) {
		w.keep("good", w.tags("t")...)
		w.keep("bad", w.tags("u")...)
		require.Empty(t, compact(w.InvalidateTags(t.Context(), w.tags("u"))))
		got := w.load(&values{err: errors.New("no database")}, []string{"good", "bad"})
		assert.Equal(t, load.Found, got[0].Outcome)
		assert.Equal(t, "good", got[0].Value)
		assert.Equal(t, load.Failed, got[1].Outcome)
	})
	in(t, "and keeps its tags", func(t *testing.T, w *world) {
		w.keep("k", w.tags("t")...)
		require.Empty(t, compact(w.InvalidateTags(t.Context(), w.tags("t"))))
		assert.Equal(t, load.Stored, w.load(&values{}, []string{"k"}, w.tags("u")...)[0].Outcome)
		require.Empty(t, compact(w.InvalidateTags(t.Context(), w.tags("t"))))
		states, _ := w.look([]string{"k"})
		assert.Equal(t, []record.State{void}, states)
	})
}

func TestALeaseThatWasNotTakenBackIsGivenBackLater(t *testing.T) {
	loses := func(w *world) *values {
		return &values{err: errors.New("no database"), during: func() { w.wire.refuse(errRefused, w.RedisKey("k")) }}
	}
	kind := func(w *world) string { return w.tokenAt(w.RedisKey("k")) }
	in(t, "when Redis answers again", func(t *testing.T, w *world) {
		assert.Equal(t, load.Failed, w.load(loses(w), []string{"k"})[0].Outcome)
		assert.NotEmpty(t, kind(w))
		w.wire.refuse(nil)
		time.Sleep(100 * time.Millisecond)
		assert.Empty(t, kind(w))
	})
	in(t, "unless that is after its end", func(t *testing.T, w *world) {
		w.load(loses(w), []string{"k"})
		time.Sleep(2 * load.LeaseTime)
		commands, _ := w.wire.count(w.RedisKey("k"), func() { time.Sleep(load.LeaseTime) })
		assert.Zero(t, commands)
	})
	in(t, "or the cache closes", func(t *testing.T, w *world) {
		w.load(loses(w), []string{"k"})
		w.shut()
		assert.NotEmpty(t, kind(w))
	})
}

func TestAValueThatACallerBringsIsStampedAtNoCost(t *testing.T) {
	in(t, "but for the first of a process, and tags", func(t *testing.T, w *world) {
		capture := func(tags ...region.Tag) (s region.Stamp, pipelines int) {
			_, pipelines = w.wire.count("", func() {
				var err error
				s, err = w.Capture(t.Context(), tags, hour)
				require.NoError(t, err)
			})
			return s, pipelines
		}
		s, pipelines := capture()
		assert.NotZero(t, pipelines)
		assert.Equal(t, w.tokenAt(w.Space.Clear()), s.Clear.String())
		again, pipelines := capture()
		assert.Zero(t, pipelines)
		assert.Equal(t, s, again)
		s, pipelines = capture(w.tags("t", "u")...)
		assert.Equal(t, 1, pipelines)
		for i, tag := range w.tags("t", "u") {
			assert.Equal(t, envelope.Tag{ID: tag.ID, Token: envelope.Token([]byte(w.tokenAt(tag.Key)))}, s.Tags.At(i))
		}
	})
	in(t, "and asks for the clear token behind it", func(t *testing.T, w *world) {
		w.keep("a")
		time.Sleep(region.ClearTime)
		w.keep("a")
		time.Sleep(time.Millisecond)
		assert.True(t, w.clearHeld())
	})
	in(t, "and not while a token is not heard", func(t *testing.T, w *world) {
		w.wire.refuse(errRefused, w.TagOf("t").Key)
		_, err := w.Capture(t.Context(), w.tags("t"), hour)
		require.ErrorIs(t, err, errRefused)
	})
}
