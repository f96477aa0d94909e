package load_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/load"
)

// Three keys, which have three answers: each goes its own way.
func TestKeysOfOneBatchWithDifferentAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := play(script{verdict: load.Committed}, map[string]script{
			"b": {answers: busyOnce, left: time.Minute, polls: []load.Answer{load.Busy, load.Changed}, leases: one, verdict: load.Committed},
			"c": {answers: []load.Answer{load.Untouchable}},
			"d": {answers: []load.Answer{load.Served}},
			"e": {answers: []load.Answer{load.Resting}, left: time.Second},
			"f": {answers: busy, left: time.Minute, polls: []load.Answer{load.Served}, leases: one},
			"g": {answers: busy, left: time.Minute, polls: busy, leases: one},
			"h": {answers: []load.Answer{load.Changed}},
		})
		got := <-r.visit(t.Context(), s, request{keys: names(8)})
		for key, want := range map[string]load.Outcome{
			"a": load.Stored, "b": load.Stored, "c": load.Loaded, "d": load.Found, "e": load.Backoff,
			"f": load.Found, "g": load.Loaded, "h": load.Loaded,
		} {
			assert.Equal(t, want, got[key].Outcome, key)
		}
		r.Close()
		assert.ElementsMatch(t, []string{
			"acquire a,b,c,d,e,f,g,h", "acquire h", "acquire h", "load c,h", "load a", "commit a",
			"acquire b", "load b", "commit b", "load g",
		}, s.log())
		assert.Zero(t, s.waiting)
	})
}

// However short the wait for others is, it ends by a look at what they have done.
func TestTheLastPollIsAtTheEndOfTheWait(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r := newRoom(t, func(s *load.Settings) { s.Wait = time.Millisecond })
		s := play(script{answers: busy, left: 3 * time.Second, polls: []load.Answer{load.Served}, leases: one})
		for _, end := range <-r.visit(t.Context(), s, request{keys: keys}) {
			assert.Equal(t, load.Found, end.Outcome)
		}
	})
}

func TestWithoutAWaitABusyKeyIsLoadedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, keys []string) {
		r, began := newRoom(t, func(s *load.Settings) { s.Wait = 0 }), time.Now()
		for _, end := range <-r.visit(t.Context(), play(script{answers: busy, left: time.Second}), request{keys: keys}) {
			assert.Equal(t, load.Loaded, end.Outcome)
		}
		assert.Zero(t, time.Since(began))
	})
}

// Of several keys that are waited for, only that one stops waiting whose caller wants it.
func TestAnImpatientCallerEndsTheWaitForItsKeyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := play(script{answers: busy, left: time.Minute, polls: busy, leases: one})
		all := r.visit(t.Context(), s, request{keys: names(3)})
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		got := <-r.visit(t.Context(), nil, request{keys: []string{"b"}, Caller: load.Caller{Waited: true}})
		assert.Equal(t, load.Loaded, got["b"].Outcome)
		assert.Zero(t, time.Since(began))
		<-all
		assert.Equal(t, patience-100*time.Millisecond, time.Since(began))
		assert.Equal(t, []string{"acquire a,b,c", "load b", "load a,c"}, s.log())
	})
}

// A key whose callers have left while the batch waited for other processes is not loaded
// beside those of the others.
func TestAKeyThatNobodyWaitsForIsNotLoadedWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := play(script{answers: busy, left: time.Minute, polls: busy, leases: one})
		ctx, cancel := context.WithCancel(t.Context())
		s.block = func(_ context.Context, step string) {
			if step == "poll" && ctx.Err() == nil && s.pollsOf("a") > 20 {
				cancel() // b's caller leaves, a's does not want to wait any more
				synctest.Wait()
			}
		}
		first := r.visit(ctx, s, request{keys: names(2)})
		synctest.Wait()
		second := r.visit(t.Context(), nil, request{keys: []string{"a"}})
		<-first
		third := r.visit(t.Context(), nil, request{keys: []string{"a"}, Caller: load.Caller{Waited: true}})
		<-second
		<-third
		r.Close()
		assert.Equal(t, []string{"acquire a,b", "load a"}, s.log())
	})
}

// A refresh loads no key without a lease that nobody waits for, also where somebody waits
// for another key of its batch.
func TestARefreshLoadsWithoutALeaseOnlyWhatIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := play(script{answers: []load.Answer{load.Unanswered}})
		goes := make(chan struct{})
		s.block = func(_ context.Context, step string) {
			if step == "acquire" {
				<-goes
			}
		}
		done := r.refresh(s, "a", "b")
		synctest.Wait()
		joins := r.visit(t.Context(), nil, request{keys: []string{"a"}})
		close(goes)
		assert.Equal(t, load.Loaded, (<-joins)["a"].Outcome)
		<-done
		r.Close()
		assert.Equal(t, []string{"acquire a,b", "load a"}, s.log())
	})
}

// That somebody has waited for a key which has its result keeps the others from giving way.
func TestARefreshWaitsForAPlaceOnlyForWhomIsStillWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := load.NewPlaces(1, 1, func(bool) {})
		r := newRoom(t, func(s *load.Settings) { s.Places = places })
		goes := make(chan struct{})
		defer close(goes)
		r.visit(t.Context(), play(script{loads: until(goes)}), request{keys: []string{"x"}})
		synctest.Wait()
		s := play(script{}, map[string]script{"a": {answers: []load.Answer{load.Served}}})
		asked := make(chan struct{})
		s.block = func(_ context.Context, step string) {
			if step == "acquire" {
				<-asked
			}
		}
		done := r.refresh(s, "a", "b")
		synctest.Wait()
		joins := r.visit(t.Context(), nil, request{keys: []string{"a"}})
		began := time.Now()
		close(asked)
		assert.Equal(t, load.Found, (<-joins)["a"].Outcome)
		<-done
		assert.Zero(t, time.Since(began), "it gives way at once")
		assert.Equal(t, []string{"acquire a,b", "release 0s: b"}, s.log())
	})
}

// A refresh gives way to whoever is at its keys, and leaves them alone for a while.
func TestARefreshGivesWay(t *testing.T) {
	for _, test := range []struct {
		name   string
		script script
		steps  []string
	}{
		{"another process loads", script{answers: busy, left: time.Second}, []string{"acquire ALL"}},
		{"a load failed moments ago", script{answers: []load.Answer{load.Resting}, left: time.Second}, []string{"acquire ALL"}},
		{"Redis does not answer", script{answers: []load.Answer{load.Unanswered}}, []string{"acquire ALL"}},
		{"no entry may be made", script{refuse: true}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, keys []string) {
				r, s := newRoom(t), play(test.script)
				began := time.Now()
				<-r.refresh(s, keys...)
				assert.Zero(t, time.Since(began))
				assert.ElementsMatch(t, forAll(test.steps, keys), s.log())
				for _, key := range keys {
					assert.Equal(t, test.script.left == 0, r.Refresh.Ready(key), "held off")
				}
			})
		})
	}
}

// A batch that refreshes in the background ends when its loader has returned, as one that
// callers wait for does: a call of that loader does not wait for it.
func TestACallOfALoaderDoesNotWaitForARefreshOfSeveralKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		s := play(script{verdict: load.Committed})
		s.loads = func(_ context.Context, k *load.Key) {
			if k.Name == "a" {
				seat, err := r.Join("b", load.Caller{Began: r.Now(), Nested: true})
				assert.NoError(t, err)
				if assert.Equal(t, load.Lead, seat.Role) {
					r.Run(t.Context(), play(script{refuse: true}), false, []*load.Key{keyOf(&seat)})
				}
			}
		}
		<-r.refresh(s, "a", "b")
	})
}
