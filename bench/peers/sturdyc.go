package peers

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/viccon/sturdyc"

	"github.com/larder-go/cache/bench/work"
)

// sturdy is github.com/viccon/sturdyc: typed values in memory, always, and a
// distributed storage behind it that its user writes, here over go-redis. It
// stores there in the background.
type sturdy struct {
	rdb   *redis.Client
	cache *sturdyc.Client[work.Doc]
	env   Env
}

func openSturdyc(env Env) (Peer, error) {
	rdb := env.client()
	c := sturdyc.New[work.Doc](1_000_000, 64, env.fresh(), 10,
		sturdyc.WithDistributedStorage(&sturdyStorage{rdb, env.fresh()}), sturdyc.WithNoContinuousEvictions())
	return &sturdy{rdb, c, env}, nil
}

func (s *sturdy) Get(ctx context.Context, key string, into *work.Doc) error {
	d, err := s.cache.GetOrFetch(ctx, key, func(ctx context.Context) (work.Doc, error) { return s.env.Load(ctx, key) })
	*into = d
	return err
}

// GetMany takes from the storage what is not in memory.
func (s *sturdy) GetMany(ctx context.Context, keys []string) (map[string]work.Doc, error) {
	name := func(id string) string { return id }
	return s.cache.GetOrFetchBatch(ctx, keys, name, s.env.LoadMany)
}

func (s *sturdy) Close() error { return s.rdb.Close() }

// sturdyStorage is the least that sturdyc wants of a storage.
type sturdyStorage struct {
	rdb   *redis.Client
	fresh time.Duration
}

func (s *sturdyStorage) Get(ctx context.Context, key string) ([]byte, bool) {
	data, err := s.rdb.Get(ctx, key).Bytes()
	return data, err == nil
}

func (s *sturdyStorage) Set(ctx context.Context, key string, value []byte) {
	_ = s.rdb.Set(ctx, key, value, s.fresh).Err() // the interface has no place for it
}

// GetBatch is one MGET.
func (s *sturdyStorage) GetBatch(ctx context.Context, keys []string) map[string][]byte {
	found := map[string][]byte{}
	values, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return found // the interface has no place for it
	}
	for i, value := range values {
		if data, ok := value.(string); ok {
			found[keys[i]] = []byte(data)
		}
	}
	return found
}

// SetBatch is one pipeline.
func (s *sturdyStorage) SetBatch(ctx context.Context, records map[string][]byte) {
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for key, value := range records {
			p.Set(ctx, key, value, s.fresh)
		}
		return nil
	})
}
