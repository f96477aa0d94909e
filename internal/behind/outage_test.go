package behind_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/redistest"
)

// W3, as it was found: a system of record that is away for a quarter of an hour, with few
// keys and many processes, each of which tries them. All times are a six-hundredth of what
// they are by default.
func TestAQuarterOfAnHourWithoutTheSink(t *testing.T) {
	t.Parallel()
	const scale, away = 600, 15 * time.Minute
	for _, keys := range []int{1, 5, 20, 200} {
		for _, processes := range []int{1, 10, 20} {
			t.Run(fmt.Sprintf("%d keys, %d processes", keys, processes), func(t *testing.T) {
				t.Parallel()
				server, db := redistest.Single(t), newTable()
				var up atomic.Bool
				var refused atomic.Int64
				var first *behind.Engine
				for range processes {
					o := quick(open(t, server.Client(t)), func(ctx context.Context, batch []behind.Mutation) error {
						if !up.Load() {
							refused.Add(1)
							return errors.New("away")
						}
						return db.write(ctx, batch)
					})
					o.Backoff, o.MaxBackoff = behind.DefaultBackoff/scale, behind.DefaultMaxBackoff/scale
					o.Interval = 10 * time.Millisecond
					first = start(t, o)
				}
				for i := range keys {
					put(t, first, strconv.Itoa(i), "x")
				}
				ends := time.NewTimer(away / scale)
				<-ends.C // an outage is as long as it is: nothing else says that it is over
				require.Positive(t, refused.Load())
				up.Store(true)
				require.NoError(t, first.Flush(within(t, patience)))
				assert.Equal(t, keys, db.len(), "all written")
				assert.Empty(t, letters(t, first))
				t.Logf("the sink refused %d calls", refused.Load())
			})
		}
	}
}
