package behind_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/store"
)

// Puts race with the end of write-behind: each is refused, or its value is in the sink when
// finish is called.
func TestWhatWasPutBeforeTheEndIsInTheSink(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c redis.UniversalClient) {
		db := newTable()
		o := quick(open(t, c), db.write)
		worker := start(t, o)
		o.Sink = nil
		putters := []*behind.Engine{worker, start(t, o)}
		var acknowledged, refused atomic.Int64
		var sure sync.Map // key -> version
		begun, stop := make(chan struct{}, 100), make(chan struct{})
		var load sync.WaitGroup
		for i, e := range putters {
			load.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					key := strconv.Itoa(i) + " " + strconv.Itoa(n%500)
					version, err := e.Put(t.Context(), key, body(t, e, key, "x"))
					if err != nil {
						assert.ErrorIs(t, err, store.ErrRetired)
						refused.Add(1)
						continue
					}
					sure.Store(key, version)
					if acknowledged.Add(1) == 300 {
						close(begun)
					}
				}
			})
		}
		<-begun
		require.NoError(t, worker.Retire(within(t, patience), nothing, func(context.Context) error {
			sure.Range(func(key, version any) bool {
				m, _ := db.row(key.(string))
				assert.LessOrEqual(t, version, m.Version, key)
				return true
			})
			return nil
		}))
		before := refused.Load()
		require.Eventually(t, func() bool { return refused.Load() > before }, patience, time.Millisecond, "for good")
		close(stop)
		load.Wait()
		clean(t, c, o.Partitions)
		t.Logf("%d acknowledged, %d refused", acknowledged.Load(), refused.Load())

		require.NoError(t, behind.Reopen(t.Context(), o.Store, o.Partitions))
		last, _ := sure.Load("0 0")
		assert.Greater(t, put(t, worker, "0 0", "again"), last, "versions go on")
		require.NoError(t, worker.Flush(within(t, patience)))
	})
}

// A process is paused in the middle, for longer than puts are kept away: what came meanwhile
// is in the sink before the end is told.
func TestAnEndThatPausesWaitsForWhatCameMeanwhile(t *testing.T) {
	m, c := miniServer(t)
	db, entered, release := newTable(), make(chan struct{}), make(chan struct{})
	o := quick(open(t, c), func(ctx context.Context, batch []behind.Mutation) error {
		close(entered)
		<-release
		return db.write(ctx, batch)
	})
	e := start(t, o)
	require.NoError(t, e.Retire(within(t, patience), nothing, func(context.Context) error {
		m.FastForward(time.Minute)
		put(t, e, "late", "x")
		<-entered
		time.AfterFunc(50*time.Millisecond, func() { close(release) }) // who does not wait is back before
		return nil
	}))
	assert.Equal(t, 1, db.len())
}

// Where nobody knows whether the end was told, puts are kept away until those who were told
// have heard of it.
func TestPutsAreRefusedForAMinuteByAnEndOfUnknownOutcome(t *testing.T) {
	m, c := miniServer(t)
	o := quick(open(t, c), func(context.Context, []behind.Mutation) error { return nil })
	e := start(t, o)
	boom := errors.New("no answer")
	require.ErrorIs(t, e.Retire(within(t, patience), nothing, func(context.Context) error { return boom }), boom)
	_, err := e.Put(t.Context(), "k", body(t, e, "k", "x"))
	require.ErrorIs(t, err, store.ErrRetired)
	m.FastForward(time.Minute)
	put(t, e, "k", "x")
}

// nothing is to be done.
func nothing(context.Context) error { return nil }

func TestAnEndThatFailsLetsPutsGoOn(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		sink    behind.Sink
		prepare error
		is      error
	}{
		"what comes after fails": {func(context.Context, []behind.Mutation) error { return nil }, boom, boom},
		"the sink is down":       {func(context.Context, []behind.Mutation) error { return boom }, nil, context.DeadlineExceeded},
		"a dead letter":          {func(context.Context, []behind.Mutation) error { return errPermanent }, nil, behind.ErrLetters},
	} {
		t.Run(name, func(t *testing.T) {
			o := quick(open(t, miniClient(t)), test.sink)
			o.Judge = func(err error) behind.Judgement {
				if errors.Is(err, errPermanent) {
					return behind.Permanent
				}
				return behind.Failed
			}
			e := start(t, o)
			put(t, e, "k", "x")
			if test.is == behind.ErrLetters { //nolint:errorlint // of the table
				require.NoError(t, e.Flush(within(t, patience)))
			}
			err := e.Retire(within(t, time.Second), func(context.Context) error { return test.prepare }, nothing)
			require.ErrorIs(t, err, test.is)
			put(t, e, "l", "x")
		})
	}
}

var errPermanent = errors.New("it never will")

// A process that dies while it retires leaves a minute in which puts are refused.
func TestPutsAreRefusedForAMinuteByAnEndThatDies(t *testing.T) {
	m, c := miniServer(t)
	o := quick(open(t, c), nil)
	e := start(t, o)
	parts := make([]*store.Partition, len(o.Partitions))
	for i := range parts {
		parts[i] = &o.Partitions[i]
	}
	require.NoError(t, o.Store.Retire(t.Context(), parts, time.Minute))
	_, err := e.Put(t.Context(), "k", body(t, e, "k", "x"))
	require.ErrorIs(t, err, store.ErrRetired)
	m.FastForward(time.Minute)
	put(t, e, "k", "x")
}
