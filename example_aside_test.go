package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/larder-go/cache"
)

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
