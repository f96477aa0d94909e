package region_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
)

// fresh, void and gone are short in tables.
const (
	gone  = record.Missing
	void  = record.Invalid
	fresh = record.Fresh
)

func TestALookUpOfSeveralKeysAlignsWhatItFindsWithTheKeys(t *testing.T) {
	keys := []string{"none", "plain", "red", "blue", "both"}
	// lookWith stores an entry for each key but the first, lets something happen, and looks.
	lookWith := func(w *world, happens func(), named ...string) ([]record.State, []error) {
		w.keep("plain")
		w.keep("red", w.tags("red")...)
		w.keep("blue", w.tags("blue")...)
		w.keep("both", w.tags("red", "blue")...)
		w.look([]string{"plain"}) // the lease of the clear token holds
		happens()
		return w.look(keys, w.tags(named...)...)
	}
	key := func(w *world, tag string) string { return w.TagOf(tag).Key }
	for _, named := range [][]string{nil, {"red"}, {"blue", "red"}, {"blue", "other", "red"}} {
		for _, c := range []struct {
			name    string
			happens func(w *world)
			states  []record.State
			fails   []bool
		}{
			{"nothing happens", func(*world) {}, []record.State{gone, fresh, fresh, fresh, fresh}, make([]bool, 5)},
			{"a tag was invalidated", func(w *world) {
				require.Empty(w.t, compact(w.InvalidateTags(w.t.Context(), w.tags("red"))))
			}, []record.State{gone, fresh, void, fresh, void}, make([]bool, 5)},
			{
				"the token of a tag is lost", func(w *world) { w.rdb.Del(w.t.Context(), key(w, "blue")) },
				[]record.State{gone, fresh, fresh, void, void},
				make([]bool, 5),
			},
			{
				"the token of a tag is not heard", func(w *world) { w.wire.refuse(errRefused, key(w, "red")) },
				[]record.State{gone, fresh, fresh, fresh, fresh},
				[]bool{false, false, true, false, true},
			},
			{
				"a record is not heard", func(w *world) { w.wire.refuse(errRefused, w.RedisKey("plain")) },
				[]record.State{gone, gone, fresh, fresh, fresh},
				[]bool{false, true, false, false, false},
			},
			{"the clear token is not heard while its lease holds", func(w *world) {
				time.Sleep(region.ClearTime * 3 / 4)
				w.wire.refuse(errRefused, w.Space.Clear())
			}, []record.State{gone, fresh, fresh, fresh, fresh}, make([]bool, 5)},
			{"the clear token is not heard", func(w *world) {
				time.Sleep(region.ClearTime)
				w.wire.refuse(errRefused, w.Space.Clear())
			}, []record.State{gone, fresh, fresh, fresh, fresh}, []bool{false, true, true, true, true}},
			{"the clear token is lost", func(w *world) {
				time.Sleep(region.ClearTime)
				w.rdb.Del(w.t.Context(), w.Space.Clear())
			}, []record.State{gone, void, void, void, void}, make([]bool, 5)},
			{"the cache was cleared by another process", func(w *world) {
				time.Sleep(region.ClearTime)
				w.rdb.Set(w.t.Context(), w.Space.Clear(), "fffffffffffffAAA", 0)
			}, []record.State{gone, void, void, void, void}, make([]bool, 5)},
		} {
			in(t, c.name, func(t *testing.T, w *world) {
				states, errs := lookWith(w, func() { c.happens(w) }, named...)
				assert.Equal(t, c.states, states)
				for i := range keys {
					assert.Equal(t, c.fails[i], errs[i] != nil, "%s: %v", keys[i], errs[i])
				}
			})
		}
	}
}

func compact(errs []error) (all []error) {
	for _, err := range errs {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

func TestAWriteThatIsNotFlushedYetDependsOnNoToken(t *testing.T) {
	in(t, "that is not heard, or is another one", func(t *testing.T, w *world) {
		w.put("put")
		w.keep("kept", w.tags("t")...)
		time.Sleep(region.ClearTime)
		w.wire.refuse(errRefused, w.Space.Clear(), w.TagOf("t").Key)
		states, errs := w.look([]string{"put", "kept"}, w.tags("t")...)
		assert.Equal(t, fresh, states[0])
		require.NoError(t, errs[0], "it was acknowledged: no loader may answer in its place")
		assert.ErrorIs(t, errs[1], errRefused)
	})
}

func TestTheTokensThatOnlyEntriesDependOnCostOneExchange(t *testing.T) {
	in(t, "of many tags", func(t *testing.T, w *world) {
		keys := []string{"a", "b", "c"}
		for _, key := range keys {
			w.keep(key, w.tags("of "+key, "of all")...)
		}
		w.look(keys)
		_, pipelines := w.wire.count("", func() { w.look(keys) })
		assert.Equal(t, 2, pipelines)
		_, pipelines = w.wire.count("", func() { w.look(keys, w.tags("of a", "of b", "of c", "of all")...) })
		assert.Equal(t, 1, pipelines, "the call names all of them")
	})
	in(t, "and the clear token, which a failover has turned back", func(t *testing.T, w *world) {
		keys := []string{"a", "b", "c", "d"}
		for _, key := range keys {
			w.keep(key, w.tags("t")...)
		}
		w.rdb.Set(w.t.Context(), w.Space.Clear(), older.String(), 0)
		time.Sleep(region.ClearTime)
		commands, pipelines := w.wire.count(w.Space.Clear(), func() {
			states, _ := w.look(keys)
			assert.Equal(t, []record.State{void, void, void, void}, states)
		})
		assert.Equal(t, 2, commands, "with the records, and once more since the entries may be younger than that")
		assert.Equal(t, 2, pipelines)
	})
	in(t, "and what failed with the records is not asked again", func(t *testing.T, w *world) {
		w.keep("a", w.tags("t")...)
		time.Sleep(region.ClearTime)
		w.wire.refuse(errRefused, w.Space.Clear())
		_, pipelines := w.wire.count("", func() {
			_, errs := w.look([]string{"a"})
			assert.ErrorIs(t, errs[0], errRefused)
		})
		assert.Equal(t, 1, pipelines)
	})
}

func TestTheRecordOfTheStrategyIsAskedForUntilItIsKnown(t *testing.T) {
	in(t, "and none is agreement", func(t *testing.T, w *world) {
		commands, _ := w.wire.count(w.Space.Meta(), func() { w.look([]string{"a"}); w.look([]string{"a"}) })
		assert.Equal(t, 1, commands)
		assert.NoError(t, w.CheckStrategy(t.Context()))
	})
	in(t, "and one that is not heard keeps nobody waiting", func(t *testing.T, w *world) {
		w.keep("a")
		w.wire.refuse(errRefused, w.Space.Meta())
		assert.NoError(t, w.CheckStrategy(t.Context()))
		states, errs := w.look([]string{"a"})
		assert.Equal(t, []record.State{fresh}, states)
		assert.Equal(t, []error{nil}, errs)
		assert.False(t, w.Strategy.Known())
		w.wire.refuse(nil)
		w.rdb.Set(t.Context(), w.Space.Meta(), region.StrategyText(16), 0)
		w.look([]string{"a"})
		assert.ErrorContains(t, w.Strategy.Problem(), "writes behind")
		assert.ErrorContains(t, w.CheckStrategy(t.Context()), "writes behind")
	})
	in(t, "and what was read once is for good", func(t *testing.T, w *world) {
		require.NoError(t, w.CheckStrategy(t.Context()))
		w.rdb.Set(t.Context(), w.Space.Meta(), region.StrategyText(16), 0)
		w.look([]string{"a"})
		assert.NoError(t, w.Strategy.Problem())
	})
	in(t, "and who has written it does not ask", func(t *testing.T, w *world) {
		w.rdb.Set(t.Context(), w.Space.Meta(), region.StrategyText(16), 0)
		w.Strategy.Own()
		w.look([]string{"a"})
		assert.NoError(t, w.Strategy.Problem())
	})
}
