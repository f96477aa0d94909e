package behind_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

const crashKeys = 200

// process is a worker process: a client, a store and an engine of its own.
type process struct {
	client redis.UniversalClient
	store  *store.Store
	engine *behind.Engine
}

func spawn(t testing.TB, dial func() redis.UniversalClient, sink behind.Sink) *process {
	t.Helper()
	p := &process{client: dial()}
	p.store = store.New(p.client, store.Options{ScriptBudget: patience}) // each put must be known to be done
	o := quick(p.store, sink)
	o.SinkTimeout = 15 * time.Millisecond // others take over after 45
	o.MaxAttempts, o.Interval = 10_000, time.Millisecond
	assert.Eventually(t, func() (ok bool) { // a server that is busy with a crowd may take longer than New
		var err error
		p.engine, err = behind.New(t.Context(), o)
		return err == nil
	}, patience, time.Millisecond)
	return p
}

// crash takes Redis away from the process first, so that nothing of what it does
// from now on is settled.
func (p *process) crash() {
	_ = p.client.Close()
	p.end()
}

func (p *process) end() {
	_, _, _ = p.engine.Close(context.Background())
	_ = p.store.Close()
	_ = p.client.Close()
}

// patient makes a client wait for a reply rather than send a command again.
func patient(o *redis.Options) { o.ReadTimeout = patience }

// pausing delays some batches beyond the take-over before they are written.
func (d *table) pausing(ctx context.Context, batch []behind.Mutation) error {
	if rand.IntN(8) == 0 {
		<-time.After(120 * time.Millisecond) // whatever ctx says: a paused process hears nothing
	}
	return d.write(ctx, batch)
}

// writers put growing numbers into keys that each belong to one of them, until
// ctx ends. It returns the last number put into each key.
func writers(ctx context.Context, t testing.TB, e *behind.Engine) (last [crashKeys]int, puts int64) {
	var group sync.WaitGroup
	var total atomic.Int64
	for w := range 8 {
		group.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				k := w + 8*rand.IntN(crashKeys/8)
				key := strconv.Itoa(k)
				if _, err := e.Put(context.Background(), key, body(t, e, key, strconv.Itoa(n))); !assert.NoError(t, err) {
					return
				}
				last[k] = n
				total.Add(1)
			}
		})
	}
	group.Wait()
	return last, total.Load()
}

func TestWBCrashTakeover(t *testing.T) {
	t.Run("standalone, with a fence", func(t *testing.T) {
		t.Parallel()
		server := redistest.Single(t)
		assert.Zero(t, testCrashes(t, func() redis.UniversalClient { return server.Process().Client(patient) }, true))
	})
	t.Run("standalone, without: the test sees what a fence is for", func(t *testing.T) {
		t.Parallel()
		server := redistest.Single(t)
		wrong := 0
		for range 10 { // a rate of a few in 200, and luck
			wrong += testCrashes(t, func() redis.UniversalClient { return server.Process().Client(patient) }, false)
			if wrong > 0 {
				break
			}
		}
		assert.Positive(t, wrong)
	})
	t.Run("cluster, with a fence", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.SharedCluster(t)
		assert.Zero(t, testCrashes(t, func() redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{
				Addrs: cluster.Addrs(), ContextTimeoutEnabled: true, ReadTimeout: patience,
			})
		}, true))
	})
}

// testCrashes returns how many rows are not what was put last.
func testCrashes(t *testing.T, dial func() redis.UniversalClient, fence bool) (wrong int) {
	t.Helper()
	db := newTable()
	db.fence = fence
	putter := spawn(t, dial, nil)
	defer putter.end()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began, crashes := time.Now(), make(chan int, 1)
	go func() {
		defer cancel()
		crashes <- crashing(ctx, t, dial, db, func(crashed int) bool {
			enough := time.Since(began) > time.Second && crashed > 5 && (!fence || db.late() > 0)
			if enough {
				cancel() // the last puts come before the last crashes: later ones would hide what those write late
			}
			return enough
		})
	}()
	last, puts := writers(ctx, t, putter.engine)
	crashed := <-crashes

	final := spawn(t, dial, db.pausing)
	require.NoError(t, final.engine.Flush(within(t, patience)))
	final.end()
	for k, n := range last {
		if m, _ := db.row(strconv.Itoa(k)); n > 0 && string(m.Payload) != strconv.Itoa(n) {
			wrong++
		}
	}
	clean(t, putter.client, partitions(4))
	t.Logf("%d puts, %d written in %d batches (%.1f puts each), %d rejected by the fence, %d crashes; wrong keys %d/%d",
		puts, db.writes, db.batches, float64(puts)/float64(max(db.writes, 1)), db.rejected, crashed, wrong, crashKeys)
	assert.Greater(t, crashed, 5)
	if fence {
		assert.Positive(t, db.rejected, "nothing was ever written late: the test is blind")
	}
	return wrong
}

// late is how many writes the fence has rejected.
func (d *table) late() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rejected
}

// crashing keeps three processes and replaces one of them every 80 ms, until
// that is enough or ctx ends.
func crashing(ctx context.Context, t *testing.T, dial func() redis.UniversalClient, db *table, enough func(crashes int) bool) (crashes int) {
	var group sync.WaitGroup
	var alive []*process
	for range 3 {
		alive = append(alive, spawn(t, dial, db.pausing))
	}
	tick := time.NewTicker(80 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && !enough(crashes) {
		select {
		case <-ctx.Done():
		case <-tick.C:
			i := rand.IntN(len(alive))
			victim := alive[i]
			group.Go(victim.crash)
			alive[i] = spawn(t, dial, db.pausing)
			crashes++
		}
	}
	for _, p := range alive {
		group.Go(p.crash)
	}
	group.Wait()
	return crashes
}

func TestWBRedisKill9(t *testing.T) {
	t.Parallel()
	for _, fsync := range []string{"always", "everysec"} {
		t.Run("appendfsync "+fsync, func(t *testing.T) { testKill9(t, redistest.AppendOnly(fsync)) })
	}
}

func testKill9(t *testing.T, option redistest.Option) {
	t.Helper()
	server := redistest.Single(t, option)
	c := server.Client(t, patient, func(o *redis.Options) { o.MaxRetries = -1 })
	db := newTable()
	o := quick(open(t, c), nil)
	putter := start(t, o)
	acked := make([]map[string]uint64, 8)
	var group sync.WaitGroup
	var count atomic.Int64
	for w := range acked {
		acked[w] = map[string]uint64{}
		group.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Sprint(w, "-", n)
				v, err := putter.Put(context.Background(), key, body(t, putter, key, "x"))
				if err != nil {
					return
				}
				acked[w][key] = v
				count.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return count.Load() > 2000 }, patience, time.Millisecond)
	server.Kill()
	group.Wait()
	server.Restart()

	dirty := map[string]string{}
	for _, p := range o.Partitions {
		all, err := c.ZRange(t.Context(), p.Dirty, 0, -1).Result()
		require.NoError(t, err)
		assert.EqualValues(t, len(all), c.ZCard(t.Context(), p.Schedule).Val(), "the schedule")
		for _, key := range all {
			dirty[key] = store.VersionIn([]byte(c.Get(t.Context(), p.Record(key)).Val()))
		}
	}
	lost := 0
	for _, keys := range acked {
		for key, v := range keys {
			if dirty[key] != fmt.Sprintf("%016x", v) {
				lost++
			}
		}
	}
	t.Logf("%d puts acknowledged, %d dirty after the crash, %d lost", count.Load(), len(dirty), lost)
	assert.Zero(t, lost)

	o.Sink = db.write
	e := start(t, o)
	began := time.Now()
	require.NoError(t, e.Flush(within(t, patience)))
	t.Logf("drained in %v", time.Since(began))
	assert.Equal(t, len(dirty), db.len())
	clean(t, c, o.Partitions)
}
