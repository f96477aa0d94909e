package cache_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache"
)

// Hooks feed whatever counts and alerts. They must be quick.
func ExampleHooks() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.Expires(profiles),
		cache.WithHooks(cache.Hooks{
			Load:       func(e cache.LoadEvent) { fmt.Println("load", e.Key, e.Err) },
			Stale:      func(e cache.StaleEvent) { fmt.Println("stale", e.Key, "because", e.Err) },
			Refused:    func(key string) { fmt.Println("refused", key) },
			RedisError: func(op string, err error) { fmt.Println("redis", op) },
		})))
	defer users.Close()

	load := func(context.Context, string) (User, error) { return User{Name: "Grace"}, nil }
	down := func(context.Context, string) (User, error) { return User{}, errors.New("no database") }
	must(users.GetOrLoad(ctx, "42", load))
	rdb.advance(time.Hour)
	must(users.GetOrLoad(ctx, "42", down))
	rdb.fail()
	must(users.GetOrLoad(ctx, "42", load))
	// Output:
	// load 42 <nil>
	// load 42 no database
	// stale 42 because no database
	// redis cache.get
	// load 42 <nil>
}

// The counters of a cache, for a page that shows whether it is worth its keep.
func ExampleCache_Stats() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	load := func(context.Context, string) (User, error) { return User{Name: "Grace"}, nil }
	for range 10 {
		must(users.GetOrLoad(ctx, "42", load))
	}
	s := users.Stats()
	lookups := s.Hits + s.Stale + s.Absent + s.Misses
	fmt.Printf("%d look-ups, %d %% hits, %d loads\n", lookups, 100*s.Hits/lookups, s.Loads)
	// Output: 10 look-ups, 90 % hits, 1 loads
}
