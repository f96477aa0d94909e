package load_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/load"
)

// until is a loader that waits for goes.
func until(goes chan struct{}) func(context.Context, *load.Key) {
	return func(ctx context.Context, k *load.Key) {
		select {
		case <-goes:
		case <-ctx.Done():
			k.Value, k.Err = nil, ctx.Err()
		}
	}
}

// Rules (a) and (b): who joins a load whose loader was called before its own call began
// has the value only if a commit proves it afterwards.
func TestWhoIsEntitledToALoad(t *testing.T) {
	for _, test := range []struct {
		name     string
		script   script
		entitled bool // the one who joins
	}{
		{"committed", script{verdict: load.Committed}, true},
		{"refused", script{verdict: load.Refused}, false},
		{"not answered", script{verdict: load.Unknown}, false},
		{"garbled", script{garbled: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, keys []string) {
				r, goes := newRoom(t), make(chan struct{})
				test.script.loads = until(goes)
				leads := r.visit(t.Context(), play(test.script), request{keys: keys})
				synctest.Wait()
				var joins []<-chan map[string]ended
				for _, key := range keys {
					joins = append(joins, r.visit(t.Context(), nil, request{keys: []string{key}}))
				}
				close(goes)
				for _, end := range <-leads {
					assert.True(t, end.entitled)
				}
				for _, join := range joins {
					for _, end := range <-join {
						assert.Equal(t, test.entitled, end.entitled)
					}
				}
			})
		})
	}
}

// One batch polls for several keys. Who joins one of them after the read that finds it
// was sent is not entitled to what that found; who joined before is.
func TestWhoIsEntitledToWhatAPollFinds(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r := newRoom(t)
		var late, early []<-chan map[string]ended
		polls := 0
		s := script{answers: busy, left: 3 * time.Second, polls: []load.Answer{load.Busy, load.Served}, leases: one}
		s.block = func(_ context.Context, step string) {
			if step != "poll" {
				return
			}
			polls++
			for _, key := range keys {
				join := r.visit(t.Context(), nil, request{keys: []string{key}})
				if polls == 2 {
					late = append(late, join)
				} else {
					early = append(early, join)
				}
			}
		}
		for _, end := range <-r.visit(t.Context(), play(s), request{keys: keys}) {
			assert.Equal(t, load.Found, end.Outcome)
			assert.True(t, end.entitled)
		}
		assert.Len(t, late, len(keys))
		for _, join := range early {
			for _, end := range <-join {
				assert.True(t, end.entitled, "joined before the read was sent")
			}
		}
		for _, join := range late {
			for _, end := range <-join {
				assert.False(t, end.entitled, "joined after the read was sent")
			}
		}
	})
}

// A flight that is detached while it loads does not commit. What it found is its
// callers', and nobody joins it.
func TestADetachedFlightDoesNotCommit(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r, goes := newRoom(t), make(chan struct{})
		s := play(script{loads: until(goes), verdict: load.Committed})
		call := r.visit(t.Context(), s, request{keys: keys})
		synctest.Wait()
		r.Detach("a")
		seat, err := r.Join("a", load.Caller{Began: r.Now()})
		assert.NoError(t, err)
		assert.Equal(t, load.Lead, seat.Role)
		r.Run(t.Context(), play(script{refuse: true}), false, []*load.Key{keyOf(&seat)})
		close(goes)
		got := <-call
		assert.Equal(t, load.Loaded, got["a"].Outcome)
		assert.True(t, got["a"].entitled)
		r.Close()
		if len(keys) == 1 {
			assert.Equal(t, []string{"acquire a", "load a", "overtaken a", "release 0s: a"}, s.log())
			return
		}
		assert.Equal(t, load.Stored, got["b"].Outcome)
		assert.Equal(t, []string{"acquire a,b,c", "load a,b,c", "overtaken a", "release 0s: a", "commit b,c"}, s.log())
	})
}

// Who comes while the commit is on its way waits for its end, and looks again.
func TestASealedFlightIsNotJoined(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r := newRoom(t)
		s := script{verdict: load.Committed}
		s.block = func(_ context.Context, step string) {
			if step == "commit" {
				for _, key := range keys {
					seat, err := r.Join(key, load.Caller{Began: r.Now()})
					assert.NoError(t, err)
					assert.Equal(t, load.WaitCommit, seat.Role)
				}
			}
		}
		for _, end := range <-r.visit(t.Context(), play(s), request{keys: keys}) {
			assert.Equal(t, load.Stored, end.Outcome)
		}
	})
}

// The load's context ends when nobody waits for any of its keys, also those that have
// left one after the other. That is no failure of the loader: no back-off.
func TestALoadEndsWhenNobodyWaits(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r := newRoom(t)
		s := play(script{loads: func(ctx context.Context, k *load.Key) { <-ctx.Done(); k.Err = ctx.Err() }})
		ctx, cancel := context.WithCancel(t.Context())
		first := r.visit(ctx, s, request{keys: keys})
		synctest.Wait()
		ctx2, cancel2 := context.WithCancel(t.Context())
		second := r.visit(ctx2, nil, request{keys: keys[:1]})
		synctest.Wait()
		cancel()
		<-first
		synctest.Wait()
		loading, _ := r.InProgress()
		assert.EqualValues(t, len(keys), loading, "the second caller waits for one of the keys")
		cancel2()
		assert.ErrorIs(t, (<-second)["a"].left, context.Canceled)
		synctest.Wait()
		loading, _ = r.InProgress()
		assert.Zero(t, loading)
		assert.Equal(t, forAll([]string{"acquire ALL", "load ALL", "release 0s: ALL"}, keys), s.log())
	})
}

// The next load of keys whose last load was abandoned is let finish.
func TestASecondAbandonedLoadIsLetFinish(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r := newRoom(t)
		slow := func(ctx context.Context, k *load.Key) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				k.Err = ctx.Err()
			}
		}
		for _, commits := range []int{0, 1} {
			s := play(script{loads: slow, verdict: load.Committed})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			<-r.visit(ctx, s, request{keys: keys})
			cancel()
			time.Sleep(time.Minute)
			assert.Equal(t, commits, s.count("commit"))
		}
	})
}
