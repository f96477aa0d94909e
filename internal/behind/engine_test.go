package behind_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

func TestWhatIsPutReachesTheSinkAndStaysReadable(t *testing.T) {
	onEach(t, func(t *testing.T, c redis.UniversalClient) {
		db, s := newTable(), open(t, c)
		o := quick(s, db.write)
		e := start(t, o)
		versions := map[string]uint64{}
		for i := range 100 {
			key := strconv.Itoa(i)
			versions[key] = put(t, e, key, "value "+key)
		}
		versions["gone"] = put(t, e, "gone", "")
		require.NoError(t, e.Flush(within(t, patience)))
		for key, v := range versions {
			m, ok := db.row(key)
			require.True(t, ok, key)
			want := behind.Mutation{Key: key, Payload: []byte("value " + key), Codec: 1, Schema: 2, Version: v}
			if key == "gone" {
				want.Payload, want.Deleted = nil, true
			}
			assert.Equal(t, want, m)
		}
		rec := s.Read(t.Context(), []string{e.RecordKey("7")}, nil)[0]
		require.NoError(t, rec.Err)
		h, body, err := envelope.Decode(rec.Data, e.RecordKey("7"))
		require.NoError(t, err)
		assert.Equal(t, envelope.Value, h.Kind)
		assert.Equal(t, "value 7", string(body.Payload))
		assert.InDelta(t, 61*time.Second, rec.PTTL, float64(10*time.Second), "soft and grace")
		clean(t, c, o.Partitions)
	})
}

func TestPutsOfOneKeyAreWrittenAsOne(t *testing.T) {
	db := newTable()
	o := quick(open(t, miniClient(t)), db.write)
	o.Interval = time.Hour
	e := start(t, o)
	var last uint64
	for i := range 500 {
		last = put(t, e, strconv.Itoa(i%5), strconv.Itoa(i))
	}
	require.NoError(t, e.Flush(within(t, patience)))
	m, _ := db.row("4")
	assert.Equal(t, last, m.Version)
	assert.Equal(t, "499", string(m.Payload))
	assert.LessOrEqual(t, db.writes, 10, "500 puts of 5 keys; each worker may have looked once when it started")
}

func TestBatchesAreBoundedBySizeAndInterval(t *testing.T) {
	db := newTable()
	o := quick(open(t, miniClient(t)), db.write)
	o.BatchSize, o.Workers, o.Interval = 16, 1, 50*time.Millisecond
	e := start(t, o)
	began := time.Now()
	for i := range 200 {
		put(t, e, strconv.Itoa(i), "x")
	}
	require.Eventually(t, func() bool { return db.len() == 200 }, patience, time.Millisecond)
	intervals := int(time.Since(began) / o.Interval) // many where each put takes long
	assert.LessOrEqual(t, db.largest, 16)
	assert.Less(t, db.batches, 100+intervals, "keys are written together")
}

// Schedule: the worker holds version 1 while version 2 is put. Flush must wait
// for version 2, of which the first acknowledgement knows nothing.
func TestFlushWaitsForWhatWasPutDuringAWrite(t *testing.T) {
	db := newTable()
	entered, release := make(chan struct{}), make(chan struct{})
	o := quick(open(t, miniClient(t)), func(ctx context.Context, batch []behind.Mutation) error {
		entered <- struct{}{}
		<-release
		return db.write(ctx, batch)
	})
	e := start(t, o)
	put(t, e, "k", "one")
	<-entered
	v := put(t, e, "k", "two")
	flushed := make(chan error, 1)
	go func() { flushed <- e.Flush(t.Context()) }()
	release <- struct{}{}
	<-entered
	select {
	case <-flushed:
		t.Fatal("the second version is not written yet")
	case <-time.After(150 * time.Millisecond): // three looks
	}
	release <- struct{}{}
	require.NoError(t, <-flushed)
	m, _ := db.row("k")
	assert.Equal(t, v, m.Version)
}

func TestWorkersSurviveAnEmptiedRedis(t *testing.T) {
	onEachSingle(t, func(t *testing.T, c redis.UniversalClient) {
		db := newTable()
		e := start(t, quick(open(t, c), db.write))
		put(t, e, "before", "x")
		require.NoError(t, e.Flush(within(t, patience)))
		require.NoError(t, c.FlushAll(t.Context()).Err())
		put(t, e, "after", "x")
		require.Eventually(t, func() bool { return db.len() == 2 }, patience, time.Millisecond)
	})
}

func TestWorkersSurviveAFrozenRedis(t *testing.T) {
	t.Parallel() // it waits
	server := redistest.Single(t)
	db := newTable()
	var failures atomic.Int64
	s := store.New(server.Client(t), store.Options{ScriptBudget: 5 * time.Second}) // it is about a budget
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	o := quick(s, db.write)
	o.Hooks.Error = func(string, error) { failures.Add(1) }
	e := start(t, o)
	server.Pause()
	require.Eventually(t, func() bool { return failures.Load() > 0 }, patience, time.Millisecond)
	server.Resume()
	put(t, e, "k", "x")
	require.NoError(t, e.Flush(within(t, patience)))
	assert.Equal(t, 1, db.len())
	server.Pause()
	began := time.Now()
	_, calls, err := e.Close(within(t, patience))
	require.Error(t, err, "the number of dirty keys is not known")
	assert.Zero(t, calls)
	assert.Less(t, time.Since(began), 30*time.Second)
	server.Resume()
}

func TestFlushKeyWaitsForOneKey(t *testing.T) {
	db := newTable()
	o := quick(open(t, miniClient(t)), db.write)
	o.Interval = time.Hour
	e := start(t, o)
	v := put(t, e, "k", "one")
	require.NoError(t, e.FlushKey(within(t, patience), "k"))
	m, _ := db.row("k")
	assert.Equal(t, v, m.Version)
	require.NoError(t, e.FlushKey(t.Context(), "never put"))
}

func TestFlushEndsWithItsContext(t *testing.T) {
	o := quick(open(t, miniClient(t)), func(context.Context, []behind.Mutation) error { return errors.New("down") })
	o.MaxAttempts = 1000
	e := start(t, o)
	put(t, e, "k", "one")
	assert.ErrorIs(t, e.Flush(within(t, 50*time.Millisecond)), context.DeadlineExceeded)
	assert.ErrorIs(t, e.FlushKey(within(t, 50*time.Millisecond), "k"), context.DeadlineExceeded)
}

func TestDrainEmptiesAndRefusesFurtherPuts(t *testing.T) {
	db, c := newTable(), redistest.Single(t).Client(t)
	o := quick(open(t, c), db.write)
	o.Interval = time.Hour
	e := start(t, o)
	for i := range 300 {
		put(t, e, strconv.Itoa(i), "x")
	}
	require.NoError(t, e.Drain(within(t, patience)))
	assert.Zero(t, dirtyAtClose(t, e))
	assert.Equal(t, 300, db.len())
	clean(t, c, o.Partitions)
	_, err := e.Put(t.Context(), "k", nil)
	assert.ErrorIs(t, err, behind.ErrClosed)
}

func TestCloseReturnsWhatTheSinkDidNotTake(t *testing.T) {
	o := quick(open(t, miniClient(t)), func(context.Context, []behind.Mutation) error { return errors.New("down") })
	o.MaxAttempts = 1000
	e := start(t, o)
	for i := range 7 {
		put(t, e, strconv.Itoa(i), "x")
	}
	assert.ErrorIs(t, e.Drain(within(t, 50*time.Millisecond)), context.DeadlineExceeded)
	assert.Equal(t, 7, dirtyAtClose(t, e))
	assert.Equal(t, 7, dirtyAtClose(t, e), "again")
}

// W11: a sink that does not look at its context is not waited for.
func TestCloseIsBoundedByItsContext(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	o := quick(open(t, miniClient(t)), func(context.Context, []behind.Mutation) error {
		close(entered)
		<-release
		return nil
	})
	e := start(t, o)
	put(t, e, "k", "one")
	<-entered
	assert.ErrorIs(t, e.Drain(within(t, 50*time.Millisecond)), context.DeadlineExceeded)
	dirty, calls, err := e.Close(within(t, 50*time.Millisecond))
	require.NoError(t, err)
	assert.Equal(t, 1, dirty)
	assert.Equal(t, 1, calls, "of the sink")
	close(release)
	dirty, calls, err = e.Close(within(t, patience))
	require.NoError(t, err)
	assert.Zero(t, calls)
	assert.Zero(t, dirty, "what it wrote is acknowledged as long as the process lives")
}

func TestCloseEndsACallOfTheSink(t *testing.T) {
	entered := make(chan struct{})
	o := quick(open(t, miniClient(t)), func(ctx context.Context, _ []behind.Mutation) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	o.MaxAttempts, o.SinkTimeout = 1, time.Minute
	e := start(t, o)
	put(t, e, "k", "one")
	<-entered
	assert.Equal(t, 1, dirtyAtClose(t, e), "closing is no failed try")
	assert.Empty(t, letters(t, e))
}

func TestPutOnlyProcessLeavesTheWritingToOthers(t *testing.T) {
	db, c := newTable(), miniClient(t)
	o := quick(open(t, c), nil)
	putter := start(t, o)
	v := put(t, putter, "k", "one")
	require.NoError(t, putter.Drain(t.Context()))
	assert.Equal(t, 1, dirtyAtClose(t, putter))
	o.Sink = db.write
	e := start(t, o)
	require.NoError(t, e.Flush(within(t, patience)))
	m, _ := db.row("k")
	assert.Equal(t, v, m.Version)
}

func TestSamplesTellDirtyLagAndDeadLetters(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("miniredis cuts the times in replies of scripts to an int")
	}
	samples := make(chan behind.Sample, 100)
	o := quick(open(t, miniClient(t)), func(context.Context, []behind.Mutation) error { return errors.New("down") })
	o.MaxAttempts, o.SampleEvery = 1000, time.Millisecond
	o.Hooks.Sample = func(s behind.Sample) {
		select {
		case samples <- s:
		default:
		}
	}
	e := start(t, o)
	put(t, e, "k", "one")
	require.Eventually(t, func() bool {
		s := <-samples
		return s.Dirty == 1 && s.Lag > 0 && s.DeadLetters == 0
	}, patience, time.Millisecond)
}

func TestBadOptionsAreReportedTogether(t *testing.T) {
	_, err := behind.New(t.Context(), behind.Options{BatchSize: -1, Interval: -1})
	for _, name := range []string{"PartitionOf", "BatchSize", "Interval"} {
		assert.ErrorContains(t, err, name)
	}
}

// A key with which this process has failed may be in the sink by another's hand: then it is
// not being tried again.
func TestSamplesTellForHowLongTheSinkHasFailedWithAKey(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("miniredis cuts the times in replies of scripts to an int")
	}
	db, c := newTable(), miniClient(t)
	var down atomic.Bool
	down.Store(true)
	o := quick(open(t, c), func(ctx context.Context, batch []behind.Mutation) error {
		if down.Load() {
			return errors.New("down")
		}
		return db.write(ctx, batch)
	})
	o.MaxAttempts = 1000
	e := start(t, o)
	sample := func() behind.Sample {
		s, err := e.Sample(t.Context())
		require.NoError(t, err)
		return s
	}
	assert.Zero(t, sample().OldestRetry)
	put(t, e, "k", "one")
	require.Eventually(t, func() bool {
		s := sample()
		require.LessOrEqual(t, s.OldestRetry, s.Lag)
		return s.OldestRetry > 10*o.MaxBackoff
	}, patience, time.Millisecond, "it grows from the first failure on, and not from the last")

	o.Sink = db.write
	other := start(t, o)
	require.NoError(t, other.Flush(within(t, patience)))
	assert.Zero(t, sample().OldestRetry)

	put(t, e, "l", "one")
	down.Store(false)
	require.NoError(t, e.Flush(within(t, patience)))
	assert.Zero(t, sample().OldestRetry)
}
