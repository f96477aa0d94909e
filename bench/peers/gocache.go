package peers

import (
	"context"
	"errors"

	"github.com/eko/gocache/lib/v4/cache"
	"github.com/eko/gocache/lib/v4/store"
	redisstore "github.com/eko/gocache/store/redis/v4"
	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/larder-go/cache/bench/work"
)

// goCache is github.com/eko/gocache: a loadable cache over its Redis store, whose
// values are strings; msgpack is what its marshaler package uses. It stores in the
// background, one at a time, and joins the loads of this process.
type goCache struct {
	rdb   *redis.Client
	cache *cache.LoadableCache[string]
}

func openGoCache(env Env) (Peer, error) {
	rdb := env.client()
	load := func(ctx context.Context, key any) (string, []store.Option, error) {
		d, err := env.Load(ctx, key.(string)) //nolint:forcetypeassert // as Get gave it
		if err != nil {
			return "", nil, err
		}
		data, err := msgpack.Marshal(d)
		return string(data), []store.Option{store.WithExpiration(env.fresh())}, err
	}
	return &goCache{rdb, cache.NewLoadable(load, cache.New[string](redisstore.NewRedis(rdb)))}, nil
}

func (c *goCache) Get(ctx context.Context, key string, into *work.Doc) error {
	data, err := c.cache.Get(ctx, key)
	if err != nil {
		return err
	}
	var d work.Doc
	err = msgpack.Unmarshal([]byte(data), &d)
	*into = d
	return err
}

func (c *goCache) Close() error { return errors.Join(c.cache.Close(), c.rdb.Close()) }
