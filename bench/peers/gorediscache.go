package peers

import (
	"context"
	"encoding/json"
	"time"

	"github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/bench/work"
)

// goRedisCache is github.com/go-redis/cache: msgpack (with s2 above 64 bytes) by
// default, one flight a key in the process, no lock across processes. A TTL below
// a second becomes an hour.
type goRedisCache struct {
	rdb   *redis.Client
	cache *cache.Cache
	env   Env
}

func openGoRedisCache(env Env) (Peer, error) {
	rdb := env.client()
	return &goRedisCache{rdb, cache.New(&cache.Options{Redis: rdb}), env}, nil
}

func openGoRedisCacheJSON(env Env) (Peer, error) {
	rdb := env.client()
	return &goRedisCache{rdb, cache.New(&cache.Options{Redis: rdb, Marshal: json.Marshal, Unmarshal: json.Unmarshal}), env}, nil
}

// openGoRedisCacheLocal has its TinyLFU in front, of encoded values.
func openGoRedisCacheLocal(env Env) (Peer, error) {
	rdb := env.client()
	local := cache.NewTinyLFU(100_000, time.Hour)
	return &goRedisCache{rdb, cache.New(&cache.Options{Redis: rdb, LocalCache: local}), env}, nil
}

func (c *goRedisCache) Get(ctx context.Context, key string, into *work.Doc) error {
	var d work.Doc
	err := c.cache.Once(&cache.Item{
		Ctx: ctx, Key: key, Value: &d, TTL: c.env.fresh(),
		Do: func(*cache.Item) (any, error) { return c.env.Load(ctx, key) },
	})
	*into = d
	return err
}

func (c *goRedisCache) Close() error { return c.rdb.Close() }
