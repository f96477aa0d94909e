package outage_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
)

// Under steady load and a Redis that is well again errors cease, and the breaker and
// the queue are what they were: after a time that does not depend on the load.
func TestErrorsCeaseOnceRedisIsWell(t *testing.T) {
	const (
		fault = 4 * time.Second
		// The longest back-off of the breaker and a fifth, then a call that is the
		// probe, and the longest pause of the queue.
		bound = 1200*time.Millisecond + time.Second
	)
	for _, perSecond := range []int{5, 50, 200} {
		t.Run(strconv.Itoa(perSecond)+" calls of each kind a second", func(t *testing.T) {
			b := cachetest.NewBubble(t)
			synctest.Test(t, func(t *testing.T) {
				rdb := b.Redis(t)
				c := asideCache(t, rdb)
				pause := time.Second / time.Duration(perSecond)
				calls := func(lasting time.Duration) (failed int, last time.Duration) {
					for began, i := time.Now(), 0; time.Since(began) < lasting; i++ {
						key := strconv.Itoa(i % 10)
						_, loaded := c.GetOrLoad(t.Context(), key, func(context.Context, string) (int, error) { return 1, nil })
						assert.NoError(t, loaded, "a dead Redis is no error of a load")
						_, got := c.Get(t.Context(), key)
						changed := c.Invalidate(t.Context(), key)
						if got != nil && got != cache.ErrMiss || changed != nil || c.Stats().Pending > 0 { //nolint:errorlint // bare
							failed, last = failed+1, time.Since(began)
						}
						time.Sleep(pause)
					}
					return failed, last
				}
				failed, _ := calls(time.Second)
				assert.Zero(t, failed)
				rdb.Fail("LOADING")
				failed, _ = calls(fault)
				assert.Positive(t, failed)
				rdb.Heal()
				failed, last := calls(2 * bound)
				t.Logf("%d calls failed after the end of the fault, the last %v after it", failed, last)
				assert.LessOrEqual(t, last, bound+pause)
				seen, err := c.Explain(t.Context(), "0")
				assert.NoError(t, err)
				assert.False(t, seen.BreakerOpen)
				assert.Zero(t, seen.Queued)
			})
		})
	}
}
