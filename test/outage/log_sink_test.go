package outage_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// sinkLines are the lines about a sink that fails, and how often it had failed by then.
type sinkLines struct {
	failed *atomic.Int64

	at    []time.Time
	told  int64 // failures, those included that were left out
	wrong []string
}

func (*sinkLines) Enabled(context.Context, slog.Level) bool { return true }
func (l *sinkLines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *sinkLines) WithGroup(string) slog.Handler          { return l }

func (l *sinkLines) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "the sink failed" {
		return nil
	}
	l.at = append(l.at, time.Now())
	l.told++
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "more" {
			l.told += a.Value.Int64()
		}
		return true
	})
	if n := l.failed.Load(); n != l.told {
		l.wrong = append(l.wrong, fmt.Sprintf("line %d tells of %d failures, of %d", len(l.at), l.told, n))
	}
	return nil
}

// A batch is halved until those are alone that the sink does not take, ten of a hundred, which
// it is asked for again and again: the log has a line a second, which loses none.
func TestASinkThatFailsIsLoggedOnceASecond(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		var failed atomic.Int64
		rows := testkit.NewLedger()
		rows.Before = func(_ context.Context, batch []cache.Mutation[string]) error {
			if !slices.ContainsFunc(batch, func(m cache.Mutation[string]) bool { return m.Value == "bad" }) {
				return nil
			}
			failed.Add(1)
			return testkit.ErrDown
		}
		out := &sinkLines{failed: &failed}
		c := testkit.NewBehind(t, rdb, rows, cache.WriteBehindOptions{Workers: 1, MaxAttempts: 1000, Interval: 10 * time.Millisecond},
			cache.WithLogger(slog.New(out)))
		all := map[string]string{}
		for i := range 100 {
			all[fmt.Sprint(i)] = "v"
			if i%10 == 0 {
				all[fmt.Sprint(i)] = "bad"
			}
		}
		require.NoError(t, c.SetMany(t.Context(), all))
		time.Sleep(20 * time.Second)
		require.Error(t, c.Close(), "ten are dirty")
		require.Greater(t, len(out.at), 2)
		for i, at := range out.at[1:] {
			assert.GreaterOrEqual(t, at.Sub(out.at[i]), time.Second)
		}
		assert.Greater(t, failed.Load(), int64(2*len(out.at)), "there was something to leave out")
		assert.Empty(t, out.wrong)
	})
}

// Each read of a write that this program cannot read is an error in the log, which has one a
// second, and how many more there were.
func TestAWriteThatCannotBeReadIsLoggedOnceASecond(t *testing.T) {
	t.Parallel()
	testkit.InBubble(t, func(t *testing.T, rdb redis.UniversalClient) {
		var out logLines
		volatile := cache.WriteBehindOptions{AcceptVolatile: testkit.VolatileIsFine}
		newer := testkit.NewBehind(t, rdb, nil, volatile, cache.WithSchema(2))
		older := testkit.NewBehind(t, rdb, nil, volatile, cache.WithSchema(1), out.option())
		require.NoError(t, newer.Set(t.Context(), "k", "v"))
		read := func(n int) {
			for range n {
				_, err := older.Get(t.Context(), "k")
				require.ErrorIs(t, err, cache.ErrMiss)
			}
		}
		read(100)
		assert.Len(t, out.with("cannot be read"), 1)
		time.Sleep(time.Second)
		read(1)
		assert.Len(t, out.with("more=99"), 1)
	})
}
