package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/redistest"
)

// behindRun is write-behind whose worker processes are killed, again and again,
// while others put. At the end the sink must hold the last acknowledged value of
// each key, and nothing may be left in Redis.
type behindRun struct {
	length  time.Duration
	keys    int
	workers int           // processes
	every   time.Duration // between two kills
}

const (
	partitions = 16
	producers  = 8
	sinkTime   = 500 * time.Millisecond // three times that until another takes over
)

// durable are the options of a server that write-behind accepts.
func durable() []redistest.Option {
	return []redistest.Option{redistest.AppendOnly("everysec")}
}

// fence is the sink: a hash for each key, which an older version never changes.
var fence = redis.NewScript(`
if tonumber(redis.call('HGET',KEYS[1],'version') or '0')>=tonumber(ARGV[1]) then return 0 end
redis.call('HSET',KEYS[1],'version',ARGV[1],'value',ARGV[2])
return 1`)

func sinkKey(key string) string { return "sink:" + key }

// sinking is the subject of a process that does nothing but work for the sink.
type sinking struct{ cache *cache.Cache[int64] }

func newSinking(p *plan, client redis.UniversalClient) (subject, error) {
	sink := func(ctx context.Context, batch []cache.Mutation[int64]) error {
		for _, m := range batch {
			if err := fence.Run(ctx, client, []string{sinkKey(m.Key)}, m.Version, m.Value).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	c, err := join(client, p.Name, sink, cache.WriteBehindOptions{
		Partitions: partitions, BatchSize: 32, Interval: 5 * time.Millisecond, SinkTimeout: sinkTime,
	})
	return sinking{c}, err
}

// join gives New several tries: its 2 s are few for a server under stress.
func join(client redis.UniversalClient, name string, sink cache.BatchWriter[int64], o cache.WriteBehindOptions) (c *cache.Cache[int64], err error) {
	for range 10 {
		if c, err = cache.New(client, name, cache.WriteBehind(sink, o)); err == nil {
			break
		}
	}
	return c, err
}

func (s sinking) get(ctx context.Context, key string) (int64, error) { return s.cache.Get(ctx, key) }

func (s sinking) change(context.Context, string, func()) error { return errors.ErrUnsupported }

func (s sinking) unanswered() int64 { return s.cache.Stats().RedisErrors }

func (s sinking) close() error {
	_ = s.cache.Close() // what it leaves is for the others
	return nil
}

// behind is the job of such a process: to be there.
func (w *worker) behind(ctx context.Context, o order) { _ = sleep(ctx, o.For) }

func (b behindRun) run(ctx context.Context, to target) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Write-behind, %s, %d keys, one of %d worker processes killed every %v for %v", to.topology, b.keys, b.workers, b.every, b.length),
		head:  []string{"", "puts", "acknowledged", "kills", "lost", "wrong", "drained in", "scheduled left", "dirty left", "letters left"},
	}
	if err := to.flush(ctx); err != nil {
		return t, err
	}
	p := to.plan(plan{Job: "behind", Mode: "sinking", Rows: 1})
	f, err := launch(ctx, p, b.workers)
	if err != nil {
		return t, err
	}
	p.Ledger, p.Workers = f.ledger, b.workers
	o := clientOptions(to.addrs)
	cache.Tune(o)
	client := connect(o, p.Cluster)
	defer func() { _ = client.Close() }()
	puts, err := join(client, p.Name, nil, cache.WriteBehindOptions{Partitions: partitions, Workers: -1})
	if err != nil {
		return t, errors.Join(err, f.close())
	}
	r := &behindResult{acked: make([]atomic.Int64, b.keys), tried: make([]atomic.Int64, b.keys)}
	err = b.rage(ctx, f, &p, puts, r)
	if err == nil {
		err = b.check(ctx, to, puts, r, t)
	}
	_ = puts.Close() // says what is dirty, which check has looked at
	f.kill()
	for _, w := range f.workers {
		_ = w.cmd.Wait() // killed
	}
	return t, err
}

// behindResult is what the producers know.
type behindResult struct {
	acked, tried []atomic.Int64 // the last value of each key
	puts, oks    atomic.Int64
	kills        int
}

// rage puts and kills for the run's length.
func (b behindRun) rage(ctx context.Context, f *fleet, p *plan, puts *cache.Cache[int64], r *behindResult) error {
	end := time.Now().Add(b.length)
	var all sync.WaitGroup
	for i := range producers {
		all.Go(func() {
			for v := int64(1); time.Now().Before(end) && ctx.Err() == nil; v++ {
				key := i + producers*rand.IntN(b.keys/producers) // its own keys, so values only grow
				r.tried[key].Store(v)
				r.puts.Add(1)
				if puts.Set(ctx, strconv.Itoa(key), v) == nil {
					r.oks.Add(1)
					r.acked[key].Store(v)
				}
				_ = sleep(ctx, rand.N(2*time.Millisecond))
			}
		})
	}
	var err error
	for err == nil && time.Now().Before(end) && sleep(ctx, b.every) == nil {
		victim := rand.IntN(len(f.workers))
		old := f.workers[victim]
		_ = old.cmd.Process.Kill()
		_ = old.cmd.Wait() // killed
		r.kills++
		f.workers[victim], err = start(ctx, p)
	}
	all.Wait()
	return err
}

// check drains, and compares the sink with what was acknowledged.
func (b behindRun) check(ctx context.Context, to target, puts *cache.Cache[int64], r *behindResult, t *table) error {
	began := time.Now()
	draining, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err := puts.Flush(draining)
	for err != nil && draining.Err() == nil { // a look that Redis did not answer in the 150 ms of the client
		err = puts.Flush(draining)
	}
	if err != nil {
		return err
	}
	drained := time.Since(began)
	lost, wrong := 0, 0
	for key := range b.keys {
		acked, tried := r.acked[key].Load(), r.tried[key].Load()
		got, err := to.admin.HGet(ctx, sinkKey(strconv.Itoa(key)), "value").Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		switch {
		case got < acked:
			lost++
		case got != acked && got != tried: // what was not acknowledged may have arrived
			wrong++
		}
	}
	scheduled, dirty, letters, err := left(ctx, to)
	t.add(ours, r.puts.Load(), r.oks.Load(), r.kills, lost, wrong, drained, scheduled, dirty, letters)
	t.require(lost == 0, "%d keys whose last acknowledged put is not in the sink", lost)
	t.require(wrong == 0, "%d keys hold a value that was not their last", wrong)
	t.require(scheduled+dirty+letters == 0, "%d keys in schedules, %d dirty keys, %d dead letters left", scheduled, dirty, letters)
	t.requireQuiet(r.kills > 0 && r.oks.Load() > int64(b.keys), "nothing happened")
	return err
}

// left is what a drained run must not leave in Redis.
func left(ctx context.Context, to target) (scheduled, dirty, letters int64, err error) {
	space, err := keyspace.New("stress")
	if err != nil {
		return 0, 0, 0, err
	}
	for i := range partitions {
		p := space.Partition(i)
		s, err1 := to.admin.ZCard(ctx, p.Schedule()).Result()
		d, err2 := to.admin.ZCard(ctx, p.Dirty()).Result()
		l, err3 := to.admin.ZCard(ctx, p.DeadLetters()).Result()
		if err := errors.Join(err1, err2, err3); err != nil {
			return 0, 0, 0, err
		}
		scheduled, dirty, letters = scheduled+s, dirty+d, letters+l
	}
	return scheduled, dirty, letters, nil
}
