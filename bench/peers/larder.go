package peers

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/bench/work"
)

// larder is this library, with the loader bound.
type larder[T any] struct {
	rdb   *redis.Client
	l1    *cache.L1
	cache *cache.Cache[T]
	bound *cache.ReadThrough[T]
	many  cache.BatchLoader[work.Doc]
	copy  func(from T, to *work.Doc) // a value: a pointer would make each hit allocate
}

// StdJSON is encoding/json as a codec: for the rows that compare with the same
// codec on both sides, whatever the library's default is.
type StdJSON struct{}

// Append implements [cache.Codec].
func (StdJSON) Append(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

// Decode implements [cache.Codec].
func (StdJSON) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// larderOf returns how to open this library with options; near gives it an L1.
func larderOf(near bool, opts ...cache.Option) func(Env) (Peer, error) {
	return func(env Env) (Peer, error) {
		load := func(ctx context.Context, key string) (work.Doc, error) { return env.Load(ctx, key) }
		return openLarder(env, near, load, func(from work.Doc, to *work.Doc) { *to = from }, opts)
	}
}

// larderPointers is the same for a cache of pointers, whose hits copy nothing.
func larderPointers(near bool, opts ...cache.Option) func(Env) (Peer, error) {
	return func(env Env) (Peer, error) {
		load := func(ctx context.Context, key string) (*work.Doc, error) {
			d, err := env.Load(ctx, key)
			return &d, err
		}
		return openLarder(env, near, load, func(from, to *work.Doc) { *to = *from }, opts)
	}
}

func openLarder[T any](env Env, near bool, load cache.Loader[T], copy func(T, *work.Doc), opts []cache.Option) (Peer, error) {
	l := &larder[T]{rdb: env.larderClient(), many: env.LoadMany, copy: copy}
	opts = append([]cache.Option{cache.Expires(&cache.TTL{Name: "bench", Fresh: env.fresh()})}, opts...)
	if env.Tracers != nil {
		opts = append(opts, cache.WithTracerProvider(env.Tracers))
	}
	if env.Meters != nil {
		opts = append(opts, cache.WithMeterProvider(env.Meters))
	}
	if env.Breaker != nil {
		opts = append(opts, cache.WithHooks(cache.Hooks{Breaker: env.Breaker}))
	}
	var err error
	if near {
		if l.l1, err = cache.NewL1(l.rdb, cache.L1Options{TTL: env.fresh(), MaxBytes: 1 << 30}); err != nil {
			return nil, err
		}
		opts = append(opts, cache.WithL1(l.l1))
	}
	if l.cache, err = cache.New(l.rdb, "bench", cache.Aside[T](), opts...); err != nil {
		return nil, err
	}
	l.bound = l.cache.ReadThrough(load)
	if near {
		return l, l.heard()
	}
	return l, nil
}

// heard waits until the L1 hears what the cache publishes, and so keeps what it reads.
func (l *larder[T]) heard() error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if e, err := l.cache.Explain(context.Background(), "no such key"); err != nil || e.L1.Hears {
			return err
		}
	}
	return errors.New("the L1 hears nothing")
}

// larderClient is the client of the other rows, or one with the library's advice
// on timeouts.
func (e Env) larderClient() *redis.Client {
	if !e.Tuned {
		return e.client()
	}
	o := &redis.UniversalOptions{Addrs: []string{e.Addr}}
	cache.Tune(o)
	return redis.NewClient(o.Simple())
}

func (l *larder[T]) Get(ctx context.Context, key string, into *work.Doc) error {
	v, err := l.bound.Get(ctx, key)
	if err == nil {
		l.copy(v, into)
	}
	return err
}

// GetMany is there for caches of documents, not of pointers.
func (l *larder[T]) GetMany(ctx context.Context, keys []string) (map[string]work.Doc, error) {
	c, ok := any(l.cache).(*cache.Cache[work.Doc])
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.GetOrLoadMany(ctx, keys, l.many)
}

func (l *larder[T]) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := l.cache.Shutdown(ctx)
	if l.l1 != nil {
		err = errors.Join(err, l.l1.Close())
	}
	return errors.Join(err, l.rdb.Close())
}
