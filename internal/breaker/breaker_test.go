package breaker_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// do makes n operations that end as r says, and returns how many were let through.
func do(b *breaker.Breaker, n int, r breaker.Result) (sent int) {
	for range n {
		if p := b.Allow(); p.OK() {
			sent++
			b.Done(p, r)
		}
	}
	return sent
}

func TestBreakerOpens(t *testing.T) {
	tests := []struct {
		name string
		run  func(b *breaker.Breaker)
		want breaker.State
	}{
		{"not after four failures in a row", func(b *breaker.Breaker) { do(b, 4, breaker.Failed) }, breaker.Closed},
		{"after five failures in a row", func(b *breaker.Breaker) { do(b, 5, breaker.Failed) }, breaker.Open},
		{"not when an answer comes between", func(b *breaker.Breaker) {
			do(b, 4, breaker.Failed)
			do(b, 1, breaker.Answered)
			do(b, 4, breaker.Failed)
		}, breaker.Closed},
		{"not for callers who did not wait", func(b *breaker.Breaker) { do(b, 100, breaker.Unknown) }, breaker.Closed},
		{"when half of twenty fail", func(b *breaker.Breaker) {
			for range 10 {
				do(b, 1, breaker.Answered)
				do(b, 1, breaker.Failed)
			}
		}, breaker.Open},
		{"not when a third of many fail", func(b *breaker.Breaker) {
			for range 100 {
				do(b, 2, breaker.Answered)
				do(b, 1, breaker.Failed)
			}
		}, breaker.Closed},
		{"not when the failures lie further apart than a second", func(b *breaker.Breaker) {
			for range 20 {
				do(b, 9, breaker.Answered)
				do(b, 4, breaker.Failed)
				time.Sleep(time.Second)
			}
		}, breaker.Closed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := breaker.New(nil)
				test.run(b)
				assert.Equal(t, test.want, b.State())
			})
		})
	}
}

func TestBackoffGrowsFrom200msToASecondWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(nil)
		do(b, 5, breaker.Failed)
		for _, want := range []time.Duration{200, 400, 800, 1000, 1000} {
			want *= time.Millisecond
			time.Sleep(want * 79 / 100)
			assert.Zero(t, do(b, 3, breaker.Failed), "before %v are over", want)
			time.Sleep(want * 42 / 100)
			assert.Equal(t, 1, do(b, 3, breaker.Failed), "one probe after %v", want)
		}
		time.Sleep(1300 * time.Millisecond)
		assert.Equal(t, 3, do(b, 3, breaker.Answered), "the probe closes it for the others")
		assert.Equal(t, breaker.Closed, b.State())
		do(b, 5, breaker.Failed)
		time.Sleep(250 * time.Millisecond)
		assert.Equal(t, 1, do(b, 1, breaker.Failed), "and the back-off begins anew")
	})
}

func TestAProbeWhoseCallerLeftIsFollowedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(nil)
		do(b, 5, breaker.Failed)
		time.Sleep(time.Second)
		assert.Equal(t, 1, do(b, 1, breaker.Unknown))
		assert.Equal(t, breaker.Open, b.State())
		assert.Equal(t, 2, do(b, 2, breaker.Answered))
	})
}

func TestOnlyOneOfManyIsTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes atomic.Int64
		b := breaker.New(func(_, _ breaker.State) { changes.Add(1) })
		do(b, 5, breaker.Failed)
		time.Sleep(time.Second)
		var sent atomic.Int64
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if p := b.Allow(); p.OK() {
					sent.Add(1)
					time.Sleep(time.Millisecond)
					b.Done(p, breaker.Failed)
				}
			})
		}
		callers.Wait()
		assert.EqualValues(t, 1, sent.Load())
		assert.EqualValues(t, 3, changes.Load(), "open, half-open, open")
	})
}
