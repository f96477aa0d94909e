package peers

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redis/rueidis"

	"github.com/larder-go/cache/bench/work"
)

// rueidisPeer is the floor on github.com/redis/rueidis, which pipelines concurrent
// callers; with near, hits come from its client-side cache and are decoded again.
type rueidisPeer struct {
	client rueidis.Client
	near   bool
	env    Env
}

func openRueidis(env Env) (Peer, error)    { return newRueidis(env, false) }
func openRueidisCSC(env Env) (Peer, error) { return newRueidis(env, true) }

func newRueidis(env Env, near bool) (Peer, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{env.Addr}, DisableCache: !near})
	if err != nil {
		return nil, err
	}
	return &rueidisPeer{client, near, env}, nil
}

func (r *rueidisPeer) Get(ctx context.Context, key string, into *work.Doc) error {
	data, err := r.look(ctx, key).AsBytes()
	if err == nil {
		var d work.Doc
		err = json.Unmarshal(data, &d)
		*into = d
		return err
	}
	if !rueidis.IsRedisNil(err) {
		return err
	}
	d, err := r.env.Load(ctx, key)
	if err != nil {
		return err
	}
	*into = d
	if data, err = json.Marshal(d); err != nil {
		return err
	}
	set := r.client.B().Set().Key(key).Value(rueidis.BinaryString(data)).Px(r.env.fresh()).Build()
	return r.client.Do(ctx, set).Error()
}

func (r *rueidisPeer) look(ctx context.Context, key string) rueidis.RedisResult {
	if r.near {
		return r.client.DoCache(ctx, r.client.B().Get().Key(key).Cache(), time.Hour)
	}
	return r.client.Do(ctx, r.client.B().Get().Key(key).Build())
}

func (r *rueidisPeer) Close() error {
	r.client.Close()
	return nil
}
