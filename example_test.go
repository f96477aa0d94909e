package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/larder-go/cache"
)

// The whole story: wrap the repository call, and tell the cache about changes.
func Example() {
	ctx := context.Background()
	rdb := embeddedRedis() // in a service: redis.NewUniversalClient; see Tune
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}

	users, err := cache.New(rdb, "users", cache.Aside[User]())
	if err != nil {
		panic(err)
	}
	defer users.Close()

	find := func() {
		u, err := users.GetOrLoad(ctx, "42", repo.Find)
		fmt.Println(u.Name, err)
	}
	find() // a miss: the repository is asked
	find() // a hit: it is not

	err = users.Update(ctx, "42", func(ctx context.Context) error { return repo.Rename(ctx, "42", "Ada") })
	if errors.Is(err, cache.ErrPending) {
		err = nil // renamed; only the invalidation is still queued: do not repeat the write
	}
	fmt.Println("renamed:", err)
	find()
	// Output:
	// SELECT user 42
	// Grace <nil>
	// Grace <nil>
	// UPDATE user 42
	// renamed: <nil>
	// SELECT user 42
	// Ada <nil>
}

// User is what the examples keep.
type User struct{ ID, Name string }

// userRepo stands for the system of record of the examples. It prints what it
// is asked, and fails with down if that is set.
type userRepo struct {
	mu    sync.Mutex
	names map[string]string
	down  error
}

func (r *userRepo) Find(_ context.Context, id string) (User, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Println("SELECT user", id)
	name, ok := r.names[id]
	switch {
	case r.down != nil:
		return User{}, r.down
	case !ok:
		return User{}, fmt.Errorf("user %s: %w", id, cache.ErrNotFound)
	}
	return User{ID: id, Name: name}, nil
}

func (r *userRepo) Rename(_ context.Context, id, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Println("UPDATE user", id)
	r.names[id] = name
	return nil
}

// embedded is a Redis inside the program and a client of it, for the examples.
// Its clock only moves by advance, and it is never late: on a machine that is
// busy the examples print the same.
type embedded struct {
	*redis.Client
	server *miniredis.Miniredis
	now    time.Time
}

func embeddedRedis() *embedded {
	e := &embedded{server: must(miniredis.Run()), now: time.Now()}
	e.server.SetTime(e.now)
	e.server.ClockTTL(true)
	e.Client = redis.NewClient(&redis.Options{
		Addr: e.server.Addr(), ContextTimeoutEnabled: true, DisableIdentity: true, MaxRetries: -1,
		DialTimeout: time.Minute, DialerRetries: 1, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	e.AddHook(unhurried{})
	return e
}

// unhurried is a hook of the client that takes the deadlines off its commands.
type unhurried struct{}

func (unhurried) DialHook(next redis.DialHook) redis.DialHook { return next }

func (unhurried) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return next(context.WithoutCancel(ctx), cmd) }
}

func (unhurried) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(context.WithoutCancel(ctx), cmds) }
}

// advance lets entries age.
func (e *embedded) advance(d time.Duration) {
	e.now = e.now.Add(d)
	e.server.SetTime(e.now)
}

// fail makes every command fail, heal ends that.
func (e *embedded) fail() { e.server.SetError("LOADING Redis is loading the dataset in memory") }
func (e *embedded) heal() { e.server.SetError("") }

func (e *embedded) Close() error {
	err := e.Client.Close()
	e.server.Close()
	return err
}

// must saves the examples the handling of errors that they are not about.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
