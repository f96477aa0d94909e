package behind_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// patience bounds what must happen at all.
const patience = time.Minute

// partitions names the keys of n partitions.
func partitions(n int) []store.Partition {
	all := make([]store.Partition, n)
	for i := range all {
		tag := fmt.Sprintf("{n!%d}", i)
		all[i] = store.Partition{
			Records: tag + "v", Letter: tag + "y", Dirty: tag + "d", Schedule: tag + "s", Tries: tag + "t",
			Clock: tag + "q", Letters: tag + "x", Reasons: tag + "r",
		}
	}
	return all
}

// hashed spreads keys over n partitions.
func hashed(n int) func(string) int {
	return func(key string) int {
		h := fnv.New32a()
		_, _ = h.Write([]byte(key))
		return int(h.Sum32() % uint32(n))
	}
}

// quick are options for tests: a few partitions and short times, but for the
// sink's, which a busy machine must not make end.
func quick(s *store.Store, sink behind.Sink) behind.Options {
	const n = 4
	return behind.Options{
		Store: s, Partitions: partitions(n), PartitionOf: hashed(n), Sink: sink, Workers: 2,
		Interval: 2 * time.Millisecond, SinkTimeout: time.Minute,
		Backoff: 5 * time.Millisecond, MaxBackoff: 20 * time.Millisecond,
	}
}

// open returns a store on c, closed with the test, whose budgets a busy machine
// keeps.
func open(t testing.TB, c redis.UniversalClient) *store.Store {
	t.Helper()
	s := store.New(c, store.Options{ReadBudget: patience, ScriptBudget: patience})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// start returns an engine that is closed with the test.
func start(t testing.TB, o behind.Options) *behind.Engine {
	t.Helper()
	var e *behind.Engine
	require.Eventually(t, func() bool { // behind an outage, the breaker lets a probe through only after a while
		var err error
		e, err = behind.New(t.Context(), o)
		return err == nil || !assert.True(t, store.Infrastructure(err), err)
	}, patience, 10*time.Millisecond)
	require.NotNil(t, e)
	t.Cleanup(func() {
		_ = dirtyAtClose(t, e)
	})
	return e
}

// dirtyAtClose closes e, whose sink keeps to its context, and returns what it leaves.
func dirtyAtClose(t testing.TB, e *behind.Engine) int {
	t.Helper()
	dirty, calls, err := e.Close(context.Background())
	require.NoError(t, err)
	require.Zero(t, calls)
	return dirty
}

// miniClient returns a client of a new miniredis.
func miniClient(t testing.TB) *redis.Client {
	t.Helper()
	_, c := miniServer(t)
	return c
}

// miniServer returns a new miniredis, and a client of it.
func miniServer(t testing.TB) (*miniredis.Miniredis, *redis.Client) {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	c := redis.NewClient(&redis.Options{
		Addr: m.Addr(), ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = c.Close() })
	return m, c
}

// onEachSingle runs f on a miniredis and a real server.
func onEachSingle(t *testing.T, f func(t *testing.T, c redis.UniversalClient)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) { f(t, miniClient(t)) })
	t.Run("redis", func(t *testing.T) { f(t, redistest.Single(t).Client(t)) })
}

// onEach runs f on a miniredis, a real server and a cluster.
func onEach(t *testing.T, f func(t *testing.T, c redis.UniversalClient)) {
	t.Helper()
	onEachSingle(t, f)
	t.Run("cluster", func(t *testing.T) { f(t, redistest.SharedCluster(t).Client(t)) })
}

// body seals a value for key; "" is a tombstone.
func body(t testing.TB, e *behind.Engine, key, value string) []byte {
	t.Helper()
	b := envelope.Body{Absent: value == "", Codec: 1, Schema: 2, Soft: time.Minute, Grace: time.Second}
	if value != "" {
		b.Payload = []byte(value)
	}
	out, crcAt, err := envelope.AppendBody(nil, &b)
	require.NoError(t, err)
	envelope.Seal(out, crcAt, e.RecordKey(key), 0)
	return out
}

// put stores a value and returns its version.
func put(t testing.TB, e *behind.Engine, key, value string) uint64 {
	t.Helper()
	v, err := e.Put(t.Context(), key, body(t, e, key, value))
	require.NoError(t, err)
	return v
}

// table is a system of record.
type table struct {
	fence bool // an older version never replaces a newer one

	mu       sync.Mutex
	rows     map[string]behind.Mutation
	writes   int
	rejected int
	batches  int
	largest  int
}

func newTable() *table { return &table{fence: true, rows: map[string]behind.Mutation{}} }

func (d *table) write(_ context.Context, batch []behind.Mutation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batches++
	d.largest = max(d.largest, len(batch))
	for _, m := range batch {
		if d.fence && d.rows[m.Key].Version > m.Version {
			d.rejected++
			continue
		}
		d.rows[m.Key] = m
		d.writes++
	}
	return nil
}

func (d *table) row(key string) (behind.Mutation, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, ok := d.rows[key]
	return m, ok
}

func (d *table) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.rows)
}

// named is how many rows have a key that begins so.
func (d *table) named(prefix string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.rows {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// clean asserts that no key is dirty, and that nothing else is left of any.
func clean(t testing.TB, c redis.UniversalClient, parts []store.Partition) {
	t.Helper()
	for _, p := range parts {
		assert.Zero(t, c.ZCard(t.Context(), p.Dirty).Val(), p.Dirty)
		assert.Zero(t, c.ZCard(t.Context(), p.Schedule).Val(), p.Schedule)
		assert.Zero(t, c.HLen(t.Context(), p.Tries).Val(), p.Tries)
	}
}

// letters lists all dead letters.
func letters(t testing.TB, e *behind.Engine) (all []behind.DeadLetter) {
	t.Helper()
	for l, err := range e.DeadLetters(t.Context()) {
		require.NoError(t, err)
		all = append(all, l)
	}
	return all
}

// within is a context that ends after d.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
