package behind_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
)

// W3: few keys, so that each of them is tried many times before the outage is over.
func TestAnOutageMakesNoDeadLettersHoweverLongItIs(t *testing.T) {
	t.Parallel()
	for name, attempts := range map[string]int{"a single try": 1, "three": 3, "no end": math.MaxInt} {
		t.Run(name, func(t *testing.T) {
			db := newTable()
			var calls atomic.Int64
			o := quick(open(t, miniClient(t)), func(ctx context.Context, batch []behind.Mutation) error {
				if calls.Add(1) <= 200 {
					return errors.New("down")
				}
				return db.write(ctx, batch)
			})
			o.MaxAttempts, o.Backoff, o.MaxBackoff = attempts, time.Millisecond, 4*time.Millisecond
			e := start(t, o)
			for i := range 5 {
				put(t, e, strconv.Itoa(i), "x")
			}
			require.NoError(t, e.Flush(within(t, patience)))
			assert.Equal(t, 5, db.len())
			assert.Empty(t, letters(t, e))
		})
	}
}

var (
	errNever = errors.New("violates a constraint")
	errNewer = errors.New("had newer")
	errBytes = errors.New("cannot be decoded")
)

// judged is an engine whose sink says of each value what is the matter with it.
func judged(t *testing.T, c redis.UniversalClient, db *table, calls *atomic.Int64) *behind.Engine {
	t.Helper()
	o := quick(open(t, c), func(ctx context.Context, batch []behind.Mutation) error {
		calls.Add(1)
		each, good := behind.BatchError{}, []behind.Mutation(nil)
		for _, m := range batch {
			if err := map[string]error{"never": errNever, "newer": errNewer, "bytes": errBytes}[string(m.Payload)]; err != nil {
				each[m.Key] = err
			} else {
				good = append(good, m)
			}
		}
		if err := db.write(ctx, good); err != nil || len(each) == 0 {
			return err
		}
		return each
	})
	o.Interval = time.Hour
	o.Judge = func(err error) behind.Judgement {
		return map[error]behind.Judgement{errNever: behind.Permanent, errNewer: behind.HadNewer, errBytes: behind.Unreadable}[err]
	}
	return start(t, o)
}

func TestTheSinkSaysWhatBecameOfEachValue(t *testing.T) {
	onEachSingle(t, func(t *testing.T, c redis.UniversalClient) {
		db := newTable()
		var calls atomic.Int64
		o := quick(open(t, c), nil)
		putter := start(t, o)
		for i := range 50 {
			put(t, putter, strconv.Itoa(i), "good")
		}
		put(t, putter, "a", "never")
		put(t, putter, "b", "newer")
		e := judged(t, c, db, &calls)
		require.NoError(t, e.Flush(within(t, patience)))
		assert.Equal(t, 50, db.len(), "the others are written")
		assert.LessOrEqual(t, calls.Load(), int64(10), "and nothing is halved")
		all := letters(t, e)
		require.Len(t, all, 1, "at once, and though nothing else was taken since")
		assert.Equal(t, "a", all[0].Key)
		assert.Equal(t, errNever.Error(), all[0].Reason)
		assert.Zero(t, c.Exists(t.Context(), e.RecordKey("b")).Val(), "the sink has something newer than the record")
		clean(t, c, o.Partitions)
	})
}

// Nobody has asked the sink: that it takes nothing else meanwhile says nothing.
func TestAValueThatCannotBeDecodedIsGivenUpAlone(t *testing.T) {
	db := newTable()
	var calls atomic.Int64
	e := judged(t, miniClient(t), db, &calls)
	put(t, e, "k", "bytes")
	require.NoError(t, e.Flush(within(t, patience)))
	assert.EqualValues(t, 10, calls.Load())
	assert.Len(t, letters(t, e), 1)
}

// W11: it ignores its context.
func TestACallThatHangsHoldsUpNothingElse(t *testing.T) {
	const keys = 200
	db := newTable()
	hung, overdue, release := make(chan struct{}), make(chan int, 10), make(chan struct{})
	var once sync.Once
	o := quick(open(t, miniClient(t)), func(ctx context.Context, batch []behind.Mutation) error {
		first := false
		once.Do(func() { first = true })
		if first {
			close(hung)
			<-release
		}
		return db.write(ctx, batch)
	})
	o.BatchSize, o.SinkTimeout = 16, 100*time.Millisecond
	o.SampleEvery = 20 * time.Millisecond
	samples := make(chan behind.Sample)
	stop := make(chan struct{})
	o.Hooks.Sample = func(s behind.Sample) {
		select {
		case samples <- s:
		case <-stop:
		}
	}
	o.Hooks.Overdue = func(size int, _ time.Duration) { overdue <- size }
	e := start(t, o)
	put(t, e, "first", "x")
	<-hung
	for i := range keys {
		put(t, e, strconv.Itoa(i), "x")
	}
	require.Eventually(t, func() bool { return db.len() == keys && (<-samples).Dirty == 1 }, patience, time.Millisecond, "all but what it has in hand")
	assert.Equal(t, 1, <-overdue)
	close(stop)
	close(release)
	require.NoError(t, e.Flush(within(t, patience)))
	assert.Equal(t, keys+1, db.len())
	assert.Empty(t, overdue, "told once")
}
