package peers

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/bench/work"
	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/near"
)

// otterFloor is what this library's L1 makes of otter, and no more: the same key
// type, entries, expiry calculator and clock. It is the floor of hits in memory.
type otterFloor struct {
	cache *otter.Cache[otterKey, *near.Entry]
	env   Env
}

type otterKey struct {
	space uint64
	name  string
}

type otterClock struct{}

func (otterClock) NowNano() int64                        { return mono.Now() }
func (otterClock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }

func openOtter(env Env) (Peer, error) {
	c, err := otter.New(&otter.Options[otterKey, *near.Entry]{
		MaximumWeight: 1 << 30,
		Weigher:       func(k otterKey, e *near.Entry) uint32 { return uint32(len(k.name)) + uint32(e.Size) + 192 },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[otterKey, *near.Entry]) time.Duration {
			return max(time.Duration(e.Value.Deadline-e.SnapshotAtNano), 1)
		}),
		Clock: otterClock{},
	})
	return &otterFloor{c, env}, err
}

func (o *otterFloor) Get(ctx context.Context, key string, into *work.Doc) error {
	if e, ok := o.cache.GetIfPresent(otterKey{1, key}); ok {
		*into = *e.Value.(*work.Doc) //nolint:forcetypeassert // as stored below
		return nil
	}
	d, err := o.env.Load(ctx, key)
	if err == nil {
		o.cache.Set(otterKey{1, key}, &near.Entry{Value: &d, Deadline: mono.Now() + int64(o.env.fresh()), Size: 1 << 10})
		*into = d
	}
	return err
}

func (o *otterFloor) Close() error {
	o.cache.StopAllGoroutines()
	return nil
}

// ristrettoPeer is github.com/dgraph-io/ristretto alone.
type ristrettoPeer struct {
	cache *ristretto.Cache[string, *work.Doc]
	env   Env
}

func openRistretto(env Env) (Peer, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, *work.Doc]{NumCounters: 1e6, MaxCost: 1 << 30, BufferItems: 64})
	return &ristrettoPeer{c, env}, err
}

func (r *ristrettoPeer) Get(ctx context.Context, key string, into *work.Doc) error {
	if d, ok := r.cache.Get(key); ok {
		*into = *d
		return nil
	}
	d, err := r.env.Load(ctx, key)
	if err == nil {
		r.cache.SetWithTTL(key, &d, 1<<10, r.env.fresh())
		r.cache.Wait()
		*into = d
	}
	return err
}

func (r *ristrettoPeer) Close() error {
	r.cache.Close()
	return nil
}

// openGoRedisCSC is the floor on go-redis' own client-side cache, whose hits are
// decoded again.
func openGoRedisCSC(env Env) (Peer, error) {
	o := env.client().Options()
	o.ClientSideCacheConfig = &redis.ClientSideCacheConfig{MaxEntries: 100_000, MaxStaleness: time.Hour}
	rdb := redis.NewClient(o)
	return &floor{rdb, rdb.Close, env, json.Marshal, json.Unmarshal}, nil
}

var errUnknown = errors.New("no such row")
