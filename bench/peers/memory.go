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
)

// otterFloor is github.com/maypok86/otter, set up as its README does: keys that are
// strings, a bound, an expiry, and the clock that it has by itself. It is the floor of
// hits in memory, and the memory below our L1.
type otterFloor struct {
	cache *otter.Cache[string, *work.Doc]
	env   Env
}

func openOtter(env Env) (Peer, error) {
	c, err := otter.New(&otter.Options[string, *work.Doc]{
		MaximumSize:      1_000_000,
		ExpiryCalculator: otter.ExpiryWriting[string, *work.Doc](env.fresh()),
	})
	return &otterFloor{c, env}, err
}

func (o *otterFloor) Get(ctx context.Context, key string, into *work.Doc) error {
	if d, ok := o.cache.GetIfPresent(key); ok {
		*into = *d
		return nil
	}
	d, err := o.env.Load(ctx, key)
	if err == nil {
		o.cache.Set(key, &d)
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
