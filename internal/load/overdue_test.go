package load_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/load"
)

// A loader hangs: its callers do not, its keys are not loaded again before it returns,
// and other keys of the batch that wants them are loaded at once.
func TestALoaderThatHangs(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r, goes := newRoom(t), make(chan struct{})
		began := time.Now()
		hangs := play(script{loads: func(context.Context, *load.Key) { <-goes }, verdict: load.Committed})
		for _, end := range <-r.visit(t.Context(), hangs, request{keys: keys}) {
			assert.Equal(t, load.Failed, end.Outcome)
			assert.ErrorIs(t, end.Err, context.DeadlineExceeded)
		}
		assert.Equal(t, timeout+100*time.Millisecond, time.Since(began))
		assert.EqualValues(t, 1, r.hung.Load())
		assert.Equal(t, len(keys), r.Overdue())
		assert.True(t, r.Late("a"))

		s := play(script{verdict: load.Committed})
		began = time.Now()
		<-r.refresh(s, keys...)
		synctest.Wait()
		assert.Zero(t, time.Since(began))
		assert.Empty(t, s.log(), "a refresh gives way")
		assert.False(t, r.Refresh.Ready("a"))
		time.Sleep(time.Second)

		began = time.Now()
		call := r.visit(t.Context(), s, request{keys: append([]string{"x"}, keys...)})
		alone := r.visit(t.Context(), nil, request{keys: []string{"x"}})
		assert.Equal(t, load.Stored, (<-alone)["x"].Outcome)
		assert.Equal(t, 100*time.Millisecond, time.Since(began), "keys have a moment to return")
		got := <-call
		for _, key := range keys {
			assert.Equal(t, load.Failed, got[key].Outcome)
			assert.ErrorIs(t, got[key].Err, context.DeadlineExceeded)
		}
		assert.Equal(t, []string{"acquire x", "load x", "commit x"}, s.log())

		waits := r.visit(t.Context(), s, request{keys: keys})
		time.Sleep(time.Second)
		close(goes)
		for _, end := range <-waits {
			assert.Equal(t, load.Stored, end.Outcome)
		}
		synctest.Wait()
		assert.Zero(t, r.hung.Load())
		assert.Zero(t, r.Overdue())
	})
}

// Who leaves ends the loader's context, and one that does not look at it is overdue from
// then on, however short it has run.
func TestALoaderThatNobodyWaitsForAnyMoreIsOverdueAtOnce(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r, goes := newRoom(t), make(chan struct{})
		hangs := play(script{loads: func(context.Context, *load.Key) { <-goes }})
		ctx, leave := context.WithCancel(t.Context())
		call := r.visit(ctx, hangs, request{keys: keys})
		synctest.Wait()
		assert.Zero(t, r.Overdue())
		leave()
		synctest.Wait()
		assert.ErrorIs(t, (<-call)["a"].left, context.Canceled)
		assert.Equal(t, len(keys), r.Overdue())
		assert.Zero(t, r.hung.Load())
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		assert.EqualValues(t, 1, r.hung.Load())
		time.Sleep(5 * time.Second)
		hangs.mu.Lock()
		assert.Zero(t, hangs.renewed, "its lease is not renewed")
		hangs.mu.Unlock()
		close(goes)
		synctest.Wait()
		assert.Zero(t, r.Overdue())
		assert.Zero(t, r.hung.Load())
	})
}

// A loader becomes overdue while a later batch, which a change had led anew, waits for
// other processes: that asks for its lease, and gives it back without a back-off.
func TestALoaderThatBecomesOverdueBeforeTheNextIsCalled(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r, goes := newRoom(t), make(chan struct{})
		r.visit(t.Context(), play(script{loads: func(context.Context, *load.Key) { <-goes }}), request{keys: keys})
		time.Sleep(timeout - 500*time.Millisecond)
		r.DetachAll()
		s := play(script{answers: busyOnce, left: 600 * time.Millisecond, polls: busy, leases: one, verdict: load.Committed})
		for _, end := range <-r.visit(t.Context(), s, request{keys: keys}) {
			assert.Equal(t, load.Failed, end.Outcome)
			assert.ErrorIs(t, end.Err, context.DeadlineExceeded)
		}
		close(goes)
		r.Close()
		assert.Equal(t, forAll([]string{"acquire ALL", "acquire ALL", "release 0s: ALL"}, keys), s.log())
	})
}

// A loader asks for other keys of its group: they need no place. One that asks for its own
// would wait for itself.
func TestLoadsThatALoaderMakes(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r := newRoom(t, func(s *load.Settings) { s.Places = load.NewPlaces(1, 1, func(bool) {}) })
		s := play(script{verdict: load.Committed, loads: func(ctx context.Context, k *load.Key) {
			assert.True(t, load.Nested(ctx))
			if k.Name != "a" {
				return
			}
			assert.Equal(t, len(keys) == 1, r.CheckCycle(ctx, "a") != nil, "in a batch another key's loader may ask for it")
			inner := play(script{verdict: load.Committed, loads: func(ctx context.Context, _ *load.Key) {
				assert.Error(t, r.CheckCycle(ctx, "x"))
				assert.NoError(t, r.CheckCycle(load.Outside(ctx), "x"))
			}})
			got := <-r.visit(ctx, inner, request{keys: []string{"x"}, Caller: load.Caller{Nested: true}})
			assert.Equal(t, load.Stored, got["x"].Outcome)
		}})
		for _, end := range <-r.visit(t.Context(), s, request{keys: keys}) {
			assert.Equal(t, load.Stored, end.Outcome)
		}
	})
}

// A change of a tag detaches the flights that depend on it, and no others.
func TestAChangeOfATagDetachesWhatDependsOnIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, goes := newRoom(t), make(chan struct{})
		s := play(script{loads: until(goes), verdict: load.Committed})
		call := r.visit(t.Context(), s, request{keys: names(2), change: func(k *load.Key) {
			r.Depend(k, []uint64{uint64(k.Name[0])})
		}})
		synctest.Wait()
		r.DetachTagged([]uint64{'b', 'z'})
		assert.Equal(t, load.Share, r.Foresee("a"), "it goes on")
		assert.Equal(t, load.Lead, r.Foresee("b"))
		close(goes)
		got := <-call
		assert.Equal(t, load.Stored, got["a"].Outcome)
		assert.Equal(t, load.Loaded, got["b"].Outcome)
	})
}
