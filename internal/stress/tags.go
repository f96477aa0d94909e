package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/keyspace"
)

// Tags: writers know the tag of what they change, not its keys, and invalidate by
// tag, now and then everything; tokens of tags are deleted as an eviction would.
// The control keeps with a value the token that its tag has when the value is
// stored, which may be younger than the value.
const (
	tagNaive = "naive tags"
	tagged   = "tags"
)

// tagCount is how many tags the rows share.
const tagCount = 3

// One change in so many invalidates everything, which takes a second, and one in
// so many comes with the loss of a token.
const (
	clearEvery = 300
	loseEvery  = 20
)

// tagOf is a key's tag.
func tagOf(key string) string {
	row, _ := strconv.Atoi(key)
	return "tag " + strconv.Itoa(row%tagCount)
}

// byTag is the library with tags.
type byTag struct {
	cache  *cache.Cache[int64]
	client redis.UniversalClient
	space  keyspace.Space
	load   cache.Loader[int64]
}

func newByTag(p *plan, client redis.UniversalClient, load loader) (subject, error) {
	space, err := keyspace.New(p.Name)
	if err != nil {
		return nil, err
	}
	c, err := cache.New(client, p.Name, cache.Aside[int64](), cache.Expires(&cache.TTL{Fresh: p.Fresh, Jitter: -1}))
	if err != nil {
		return nil, err
	}
	return byTag{cache: c, client: client, space: space, load: cache.Loader[int64](load)}, nil
}

// get names the key's tag, and every other time one more.
func (b byTag) get(ctx context.Context, key string) (int64, error) {
	tags := []string{tagOf(key), "all rows"}
	return b.cache.GetOrLoad(ctx, key, b.load, cache.Tagged(tags[:1+rand.IntN(2)]...))
}

func (b byTag) change(ctx context.Context, key string, write func()) error {
	write()
	if rand.IntN(loseEvery) == 0 {
		_ = b.client.Del(ctx, b.space.Tag(tagOf(strconv.Itoa(rand.IntN(tagCount))))).Err() // lost or not
	}
	if rand.IntN(clearEvery) == 0 {
		return b.cache.InvalidateAll(ctx)
	}
	return b.cache.InvalidateTags(ctx, tagOf(key))
}

func (b byTag) unanswered() int64 { return b.cache.Stats().RedisErrors }

func (b byTag) close() error { return library{cache: b.cache}.close() }

// naiveByTag is the control.
type naiveByTag struct{ aside }

func (n naiveByTag) get(ctx context.Context, key string) (int64, error) {
	token, err := n.token(ctx, key)
	if err != nil {
		return 0, err
	}
	var v, with int64
	text, err := n.client.Get(ctx, n.prefix+key).Result()
	switch {
	case err == nil:
		if _, err := fmt.Sscan(text, &v, &with); err != nil || with == token {
			return v, err
		}
	case !errors.Is(err, redis.Nil):
		return 0, err
	}
	if v, err = n.load(ctx, key); err != nil {
		return 0, err
	}
	if with, err = n.token(ctx, key); err != nil { // too late
		return 0, err
	}
	return v, n.client.Set(ctx, n.prefix+key, fmt.Sprint(v, with), n.fresh).Err()
}

func (n naiveByTag) token(ctx context.Context, key string) (int64, error) {
	token, err := n.client.Get(ctx, n.prefix+tagOf(key)).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return token, err
}

func (n naiveByTag) change(ctx context.Context, key string, write func()) error {
	write()
	return n.client.Incr(ctx, n.prefix+tagOf(key)).Err()
}

// tagRun is historyRun with tags.
type tagRun struct{ historyRun }

func (r tagRun) run(ctx context.Context, to target) (*table, error) {
	t := historyTable(fmt.Sprintf("Tags, %s, %d processes of 4 readers and a writer, %d tags", to.topology, historyWorkers, tagCount))
	p := to.plan(plan{
		Job: "history", Rows: 6 + 1, Callers: 4, Fresh: time.Minute,
		LoadMax: 3 * time.Millisecond, Write: 20 * time.Millisecond,
	})
	for _, p.Mode = range []string{tagNaive, tagged} {
		if err := r.mode(ctx, to, p, t); err != nil {
			return t, err
		}
	}
	return t, nil
}
