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

func ExampleCache_GetOrLoad() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	// The closure has what the loader needs besides the key.
	tenant := "acme"
	for range 2 {
		u, err := users.GetOrLoad(ctx, tenant+":42", func(ctx context.Context, _ string) (User, error) {
			return repo.Find(ctx, "42")
		})
		fmt.Println(u.Name, err)
	}
	// Output:
	// SELECT user 42
	// Grace <nil>
	// Grace <nil>
}

// However many callers miss one key at once, in however many processes, one of
// them loads.
func ExampleCache_GetOrLoad_herd() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}

	// Two caches of one name and one Redis, as two processes have them.
	one := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer one.Close()
	two := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer two.Close()

	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() { must(one.GetOrLoad(ctx, "42", repo.Find)) })
		callers.Go(func() { must(two.GetOrLoad(ctx, "42", repo.Find)) })
	}
	callers.Wait()
	fmt.Println("loads:", one.Stats().Loads+two.Stats().Loads)
	// Output:
	// SELECT user 42
	// loads: 1
}

// What the loader returns for "no such record" is an answer, not a failure.
func ExampleCache_GetOrLoad_notFound() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{} // Find returns an error that wraps cache.ErrNotFound
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	_, err := users.GetOrLoad(ctx, "43", repo.Find)
	switch {
	case errors.Is(err, cache.ErrNotFound):
		fmt.Println("404:", err)
	case err != nil:
		fmt.Println("500:", err)
	}
	// Output:
	// SELECT user 43
	// 404: user 43: cache: not found
}

// A loader's error reaches the caller unchanged and is never stored.
func ExampleCache_GetOrLoad_error() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	errTooMany := errors.New("too many connections")
	repo := &userRepo{down: errTooMany}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	_, err := users.GetOrLoad(ctx, "42", repo.Find)
	fmt.Println(err == errTooMany) //nolint:errorlint // the identity is the point
	// Output:
	// SELECT user 42
	// true
}

// A Redis that is down costs loads, not errors.
func ExampleCache_GetOrLoad_redisDown() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	rdb.fail()
	for range 2 {
		u, err := users.GetOrLoad(ctx, "42", repo.Find)
		fmt.Println(u.Name, err)
	}
	fmt.Println("went past the cache:", users.Stats().Bypassed)
	// Output:
	// SELECT user 42
	// Grace <nil>
	// SELECT user 42
	// Grace <nil>
	// went past the cache: 2
}

// Get looks and never loads: for values that something else puts there.
func ExampleCache_Get() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	_, err := users.Get(ctx, "42")
	fmt.Println(errors.Is(err, cache.ErrMiss))

	fmt.Println(users.Set(ctx, "42", User{ID: "42", Name: "Grace"}))
	u, err := users.Get(ctx, "42")
	fmt.Println(u.Name, err)

	rdb.fail()
	_, err = users.Get(ctx, "42")
	var failed *cache.OpError // Redis did not answer: neither a hit nor a miss
	fmt.Println(errors.As(err, &failed), errors.Is(err, cache.ErrMiss))
	// Output:
	// true
	// <nil>
	// Grace <nil>
	// true false
}

// A loader that is bound once is handed around like a repository.
func ExampleReadThrough() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	byID := users.ReadThrough(repo.Find, cache.Expires(profiles))
	greet := func(id string) {
		u, err := byID.Get(ctx, id)
		fmt.Println("hello", u.Name, err)
	}
	greet("42")
	greet("42")
	// Output:
	// SELECT user 42
	// hello Grace <nil>
	// hello Grace <nil>
}

// The first pages of a list are asked for all the time, the others once.
func ExampleStoreIf() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	pages := must(cache.New(rdb, "pages", cache.Aside[[]string]()))
	defer pages.Close()

	list := func(filter string, page int) {
		load := func(context.Context, string) ([]string, error) {
			fmt.Println("SELECT page", page)
			return []string{"Ada", "Grace"}, nil
		}
		key := cache.HashKey(filter, page)
		must(pages.GetOrLoad(ctx, key, load, cache.StoreIf(page <= 3)))
	}
	for range 2 {
		list("active", 1)
		list("active", 900)
	}
	// Output:
	// SELECT page 1
	// SELECT page 900
	// SELECT page 900
}

// The repository's own error for "no such record" needs no wrapping.
func ExampleWithNotFound() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	errNoRow := errors.New("no row") // say, pgx.ErrNoRows

	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.Expires(lookups),
		cache.WithNotFound(func(err error) bool { return errors.Is(err, errNoRow) })))
	defer users.Close()

	load := func(context.Context, string) (User, error) { return User{}, errNoRow }
	_, err := users.GetOrLoad(ctx, "43", load)
	fmt.Println("loaded:", errors.Is(err, cache.ErrNotFound), errors.Is(err, errNoRow))
	_, err = users.GetOrLoad(ctx, "43", load) // remembered: the fact, not the error
	fmt.Println("remembered:", errors.Is(err, cache.ErrNotFound), errors.Is(err, errNoRow))
	// Output:
	// loaded: true true
	// remembered: true false
}
