package peers

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bytedance/sonic"
	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/bench/work"
)

// commander is what the floor needs of a client.
type commander interface {
	Get(ctx context.Context, key string) *redis.StringCmd
	Set(ctx context.Context, key string, value any, ttl time.Duration) *redis.StatusCmd
	Pipelined(ctx context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error)
}

// floor is what one writes without a library: GET, Unmarshal; on a miss load,
// Marshal, SET. It guards against nothing.
type floor struct {
	rdb       commander
	close     func() error
	env       Env
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

func openFloor(env Env) (Peer, error) {
	rdb := env.client()
	return &floor{rdb, rdb.Close, env, json.Marshal, json.Unmarshal}, nil
}

func openFloorSonic(env Env) (Peer, error) {
	rdb := env.client()
	return &floor{rdb, rdb.Close, env, sonic.Marshal, sonic.Unmarshal}, nil
}

// openAutoPipeline is the floor on go-redis' own pipelining of concurrent callers.
func openAutoPipeline(env Env) (Peer, error) {
	rdb := env.client()
	auto, err := rdb.AutoPipeline()
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return &floor{auto, func() error { return errors.Join(auto.Close(), rdb.Close()) }, env, json.Marshal, json.Unmarshal}, nil
}

func (f *floor) Get(ctx context.Context, key string, into *work.Doc) error {
	data, err := f.rdb.Get(ctx, key).Bytes()
	if err == nil {
		var d work.Doc // a new one: decoding into an old one would reuse its memory
		err = f.unmarshal(data, &d)
		*into = d
		return err
	}
	if !errors.Is(err, redis.Nil) {
		return err
	}
	d, err := f.env.Load(ctx, key)
	if err != nil {
		return err
	}
	*into = d
	if data, err = f.marshal(d); err != nil {
		return err
	}
	return f.rdb.Set(ctx, key, data, f.env.fresh()).Err()
}

// GetMany is two pipelines: one of GETs, and one of SETs for what was not there.
func (f *floor) GetMany(ctx context.Context, keys []string) (map[string]work.Doc, error) {
	gets := make([]*redis.StringCmd, len(keys))
	_, err := f.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			gets[i] = p.Get(ctx, key)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	found, missing := make(map[string]work.Doc, len(keys)), []string(nil)
	for i, get := range gets {
		data, err := get.Bytes()
		if err != nil {
			missing = append(missing, keys[i])
			continue
		}
		var d work.Doc
		if err := f.unmarshal(data, &d); err != nil {
			return nil, err
		}
		found[keys[i]] = d
	}
	return found, f.loadMany(ctx, missing, found)
}

func (f *floor) loadMany(ctx context.Context, keys []string, into map[string]work.Doc) error {
	loaded, err := f.env.LoadMany(ctx, keys)
	if err != nil {
		return err
	}
	_, err = f.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for key, d := range loaded {
			into[key] = d
			data, err := f.marshal(d)
			if err != nil {
				return err
			}
			p.Set(ctx, key, data, f.env.fresh())
		}
		return nil
	})
	return err
}

func (f *floor) Close() error { return f.close() }
