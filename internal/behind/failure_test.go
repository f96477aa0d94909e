package behind_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/redistest"
)

var errPoison = errors.New("poison")

// poisoned refuses batches with keys that begin with "bad", by the given means.
func (d *table) poisoned(refuse func() error) behind.Sink {
	return func(ctx context.Context, batch []behind.Mutation) error {
		for _, m := range batch {
			if strings.HasPrefix(m.Key, "bad") {
				return refuse()
			}
		}
		return d.write(ctx, batch)
	}
}

func TestWBPoison(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func() error{
		"an error":   func() error { return errPoison },
		"a panic":    func() error { panic("poison") },
		"its Goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			testPoison(t, miniClient(t), refuse)
		})
	}
}

func TestWBPoisonOnRealServers(t *testing.T) {
	refuse := func() error { return errPoison }
	t.Run("redis", func(t *testing.T) { testPoison(t, redistest.Single(t).Client(t), refuse) })
	t.Run("cluster", func(t *testing.T) { testPoison(t, redistest.SharedCluster(t).Client(t), refuse) })
}

func testPoison(t *testing.T, c redis.UniversalClient, refuse func() error) {
	t.Helper()
	type death struct {
		key     string
		version uint64
	}
	var alone atomic.Int64
	deaths := make(chan death, 10)
	db := newTable()
	var held sync.RWMutex // by the test, to keep the sink from being called
	sink := db.poisoned(refuse)
	o := quick(open(t, c), func(ctx context.Context, batch []behind.Mutation) error {
		held.RLock()
		defer held.RUnlock()
		return sink(ctx, batch)
	})
	o.Hooks.DeadLetter = func(key string, version uint64, err error) {
		assert.Error(t, err)
		deaths <- death{key, version}
	}
	o.Hooks.Batch = func(b behind.Batch) {
		if b.Size == 1 && b.Err != nil {
			alone.Add(1)
		}
	}
	e := start(t, o)
	defer db.busy(t, e)()
	v := put(t, e, "bad", "poison")
	took := db.takes(t, e, "beside ", 100)
	t.Logf("the others took %v", took)
	select {
	case d := <-deaths:
		assert.Equal(t, death{"bad", v}, d)
	case <-time.After(patience):
		t.Fatal("no dead letter")
	}
	if took >= 2*time.Second { // on a machine that takes as long without a bad value
		assert.Less(t, took, 3*db.takes(t, e, "alone ", 100), "others are delayed")
	}
	assert.GreaterOrEqual(t, alone.Load(), int64(10), "tries that count")
	all := letters(t, e)
	require.Len(t, all, 1)
	assert.NotEmpty(t, all[0].Reason)
	assert.Equal(t, "poison", string(all[0].Payload))
	assert.ErrorIs(t, e.RetryDeadLetter(t.Context(), "nonsense"), behind.ErrNoLetter)
	assert.ErrorIs(t, e.RetryDeadLetter(t.Context(), "99:1-1"), behind.ErrNoLetter)
	require.NoError(t, e.RetryDeadLetter(t.Context(), all[0].ID))
	assert.Equal(t, death{"bad", v}, <-deaths, "ten more tries, with its old version")
	all = letters(t, e)
	held.Lock() // the newer value lives as long as it is looked at
	put(t, e, "bad", "newer")
	assert.ErrorIs(t, e.RetryDeadLetter(t.Context(), all[0].ID), behind.ErrNoLetter, "a later put takes its place")
	assert.ErrorIs(t, e.DropDeadLetter(t.Context(), all[0].ID), behind.ErrNoLetter)
	held.Unlock()
	<-deaths
	all = letters(t, e)
	require.Len(t, all, 1)
	require.NoError(t, e.DropDeadLetter(t.Context(), all[0].ID))
}

// busy has the sink take something all the time, until it is stopped.
func (d *table) busy(t *testing.T, e *behind.Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	value := body(t, e, "busy", "x")
	var done sync.WaitGroup
	done.Go(func() {
		for tick := time.Tick(10 * time.Millisecond); ctx.Err() == nil; <-tick {
			_, err := e.Put(context.Background(), "busy", value)
			assert.NoError(t, err)
		}
	})
	return func() { cancel(); done.Wait() }
}

// takes puts n keys that begin with name, and returns how long they took to reach
// the table.
func (d *table) takes(t *testing.T, e *behind.Engine, name string, n int) time.Duration {
	t.Helper()
	began := time.Now()
	for i := range n {
		put(t, e, name+strconv.Itoa(i), "x")
	}
	require.Eventually(t, func() bool { return d.named(name) == n }, patience, time.Millisecond)
	return time.Since(began)
}

// Nobody is given up for a neighbour, whatever the sink does with the batch.
func TestManyBadValuesDoNotTakeOthersWithThem(t *testing.T) {
	t.Parallel()
	const bad, good = 20, 300
	db, c := newTable(), miniClient(t)
	var mu sync.Mutex
	dead := map[string]int{}
	o := quick(open(t, c), db.poisoned(func() error { return errPoison }))
	o.Interval = 20 * time.Millisecond
	o.Hooks.DeadLetter = func(key string, _ uint64, _ error) {
		mu.Lock()
		defer mu.Unlock()
		dead[key]++
	}
	e := start(t, o)
	for i := range bad {
		put(t, e, "bad"+strconv.Itoa(i), "x")
	}
	for i := range good {
		put(t, e, strconv.Itoa(i), "x")
	}
	stop := db.busy(t, e)
	require.Eventually(t, func() bool { // the hook hears of a dead letter a moment after Redis has it
		mu.Lock()
		defer mu.Unlock()
		return len(dead) >= bad
	}, patience, time.Millisecond)
	stop()
	require.NoError(t, e.Flush(within(t, patience)))
	assert.Equal(t, good+1, db.len(), "and the one that kept the sink busy")
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, dead, bad)
	for key, n := range dead {
		assert.True(t, strings.HasPrefix(key, "bad"), key)
		assert.Equal(t, 1, n, key)
	}
}

// While the sink takes nothing, keys are tried one by one and ever more
// rarely: an outage must not make dead letters of everything.
func TestSinkOutageKillsNobody(t *testing.T) {
	t.Parallel()
	const keys = 100 // each has a script of its own, which a miniredis takes long for
	db := newTable()
	var down atomic.Bool
	var calls atomic.Int64
	down.Store(true)
	o := quick(open(t, miniClient(t)), func(ctx context.Context, batch []behind.Mutation) error {
		calls.Add(1)
		if down.Load() {
			return errors.New("down")
		}
		return db.write(ctx, batch)
	})
	o.Backoff, o.MaxBackoff, o.MaxAttempts = 10*time.Millisecond, time.Second, 4 // over in 70 ms
	e := start(t, o)
	for i := range keys {
		put(t, e, strconv.Itoa(i), "x")
	}
	outage := within(t, 700*time.Millisecond)
	<-outage.Done()
	t.Logf("%d calls in an outage", calls.Load())
	down.Store(false)
	require.NoError(t, e.Flush(within(t, patience)))
	assert.Equal(t, keys, db.len())
	assert.Empty(t, letters(t, e))
}

func TestLostRecordBecomesADeadLetterAtOnce(t *testing.T) {
	db, c := newTable(), miniClient(t)
	o := quick(open(t, c), db.write)
	o.Workers = -1
	putter := start(t, o)
	put(t, putter, "k", "one")
	put(t, putter, "broken", "one")
	require.NoError(t, c.Del(t.Context(), putter.RecordKey("k")).Err())
	require.NoError(t, c.SetRange(t.Context(), putter.RecordKey("broken"), 70, "\xff").Err())
	o.Workers = 2
	e := start(t, o)
	require.NoError(t, e.Flush(within(t, patience)))
	reasons := map[string]string{}
	for _, l := range letters(t, e) {
		reasons[l.Key] = l.Reason
	}
	assert.Contains(t, reasons["k"], "the record is gone")
	assert.Contains(t, reasons["broken"], "corrupt")
	assert.Zero(t, db.len())
}
