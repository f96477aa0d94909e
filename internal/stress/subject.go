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
	"github.com/larder-go/cache/internal/envelope"
)

// The ways of caching that are compared. The first two are controls: they are
// how it is usually done, and a run in which the naive one looks fine has shown
// nothing.
const (
	naive    = "naive"          // GET, load, SET; DEL after a write
	lockOnly = "lock-only"      // the same under a SET NX lock
	ours     = "this library"   // GetOrLoad; Invalidate after a write
	updating = "same, Update()" // GetOrLoad; writes inside Update
	mixed    = "both writes"    // GetOrLoad; Update and Invalidate in turn
	failOpen = "naive, loading" // naive, but loads also when Redis does not answer
)

// subject is a way of caching versions.
type subject interface {
	// get returns the version of key, loading it if need be.
	get(ctx context.Context, key string) (int64, error)
	// change runs write, which changes the record of key, and does whatever
	// keeps the cache right. Nil means that all of it has happened.
	change(ctx context.Context, key string, write func()) error
	// unanswered counts the commands that Redis did not answer within the
	// library's budgets since the subject was made. A get whose command is one
	// of them loads without a lease: it is right, but may be one of several.
	unanswered() int64
	close() error
}

// loader reads the version of a key from the system of record.
type loader func(ctx context.Context, key string) (int64, error)

// newSubject makes the plan's subject. Load is called whenever the subject goes
// to the system of record.
func newSubject(p *plan, client redis.UniversalClient, load loader) (subject, error) {
	raw := aside{client: client, prefix: p.Name + ":", fresh: p.Fresh, load: load}
	switch p.Mode {
	case "sinking":
		return newSinking(p, client)
	case naive:
		return raw, nil
	case tagNaive:
		return naiveByTag{raw}, nil
	case tagged:
		return newByTag(p, client, load)
	case nearNaive:
		return newMapped(raw), nil
	case near:
		return newNearby(p, client, load)
	case lockOnly:
		return locked{raw}, nil
	case failOpen:
		return opened{raw}, nil
	case ours, updating, mixed:
		return newLibrary(p, client, load)
	}
	return nil, fmt.Errorf("no such mode: %q", p.Mode)
}

func newLibrary(p *plan, client redis.UniversalClient, load loader) (subject, error) {
	// Without jitter, so that a period of the hot key is as long as it says.
	class := &cache.TTL{Fresh: p.Fresh, Jitter: -1}
	options := cache.Options{cache.Expires(class)}
	if p.Limit > 0 {
		options = append(options, cache.WithLoadLimit(p.Limit), cache.WithMaxLoads(p.Limit))
	}
	c, err := cache.New(client, p.Name, cache.Aside[int64](), options)
	if err != nil {
		return nil, err
	}
	guarded := map[string]func() bool{
		ours:     func() bool { return false },
		updating: func() bool { return true },
		mixed:    func() bool { return rand.IntN(2) == 0 },
	}[p.Mode]
	return library{cache: c, bound: c.ReadThrough(cache.Loader[int64](load)), guarded: guarded}, nil
}

// aside is the naive control: nothing orders a SET against a DEL.
//
//  1. A reader misses and loads version 1.
//  2. A writer makes it version 2 and deletes the key: the write has returned.
//  3. The reader sets version 1, and everybody is served that for the TTL.
type aside struct {
	client redis.UniversalClient
	prefix string
	fresh  time.Duration
	load   loader
}

func (a aside) get(ctx context.Context, key string) (int64, error) {
	v, err := a.client.Get(ctx, a.prefix+key).Int64()
	if err == nil || !errors.Is(err, redis.Nil) {
		return v, err
	}
	return a.fill(ctx, key)
}

func (a aside) fill(ctx context.Context, key string) (int64, error) {
	v, err := a.load(ctx, key)
	if err != nil {
		return 0, err
	}
	return v, a.client.Set(ctx, a.prefix+key, strconv.FormatInt(v, 10), a.fresh).Err()
}

func (a aside) change(ctx context.Context, key string, write func()) error {
	write()
	return a.client.Del(ctx, a.prefix+key).Err()
}

// opened is the naive control that loads when Redis does not answer in time.
type opened struct{ aside }

func (o opened) get(ctx context.Context, key string) (int64, error) {
	v, err := o.client.Get(ctx, o.prefix+key).Int64()
	if err == nil {
		return v, nil
	}
	if v, err = o.load(ctx, key); err == nil {
		_ = o.client.Set(ctx, o.prefix+key, strconv.FormatInt(v, 10), o.fresh).Err()
	}
	return v, err
}

func (a aside) unanswered() int64 { return 0 }

func (a aside) close() error { return nil }

const (
	lockLife = time.Second          // far longer than a load takes
	lockPoll = 2 * time.Millisecond // as often as the library's waiters ask at first
)

// unlock deletes the lock if it is still the caller's.
var unlock = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)

// locked is the second control: the lock orders loaders among themselves, and
// that is all it does. The writer of the schedule above takes none, and need
// not: if it did, the lock could still run out under a loader that is paused.
type locked struct{ aside }

func (l locked) get(ctx context.Context, key string) (int64, error) {
	lock, token := l.prefix+key+":lock", envelope.NewToken()
	for {
		v, err := l.client.Get(ctx, l.prefix+key).Int64()
		if err == nil || !errors.Is(err, redis.Nil) {
			return v, err
		}
		mine, err := l.client.SetNX(ctx, lock, token.String(), lockLife).Result()
		switch {
		case err != nil:
			return 0, err
		case mine:
			v, err = l.fill(ctx, key)
			return v, errors.Join(err, unlock.Run(ctx, l.client, []string{lock}, token.String()).Err())
		}
		if err := sleep(ctx, lockPoll); err != nil {
			return 0, err
		}
	}
}

// library is the library under test, with its defaults but for the TTL.
type library struct {
	cache   *cache.Cache[int64]
	bound   *cache.ReadThrough[int64]
	guarded func() bool // the next write is one of Update
}

func (l library) get(ctx context.Context, key string) (int64, error) { return l.bound.Get(ctx, key) }

func (l library) change(ctx context.Context, key string, write func()) error {
	if l.guarded() {
		return l.cache.Update(ctx, key, func(context.Context) error { write(); return nil })
	}
	write()
	return l.cache.Invalidate(ctx, key)
}

func (l library) unanswered() int64 { return l.cache.Stats().RedisErrors }

// close lets invalidations land that Redis did not accept, or that the end of
// the round cut off: they are queued, and Close alone would report them.
func (l library) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return l.cache.Shutdown(ctx)
}

// sleep waits for d or for the end of ctx, whose error it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
