package peers

import (
	"context"
	"errors"
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

func (s *sturdyStorage) GetBatch(ctx context.Context, keys []string) map[string][]byte {
	found := map[string][]byte{}
	for _, key := range keys {
		if data, ok := s.Get(ctx, key); ok {
			found[key] = data
		}
	}
	return found
}

func (s *sturdyStorage) SetBatch(ctx context.Context, records map[string][]byte) {
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		var errs []error
		for key, value := range records {
			errs = append(errs, p.Set(ctx, key, value, s.fresh).Err())
		}
		return errors.Join(errs...)
	})
}
