package cache_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache"
)

// Caches of whatever types share one in-process tier, its budget and its connection.
// What another process changes a message drops; what this one changes is gone at once.
func ExampleNewL1() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	l1 := must(cache.NewL1(rdb, cache.L1Options{MaxBytes: 64 << 20, TTL: 2 * time.Second}))
	defer l1.Close()
	users := must(cache.New(rdb, "users", cache.Aside[string](), cache.WithL1(l1)))
	defer users.Close()

	find := func(context.Context, string) (string, error) { return "Ada", nil }
	for users.Stats().HitsL1 == 0 { // once the messages are known to arrive
		must(users.GetOrLoad(ctx, "42", find))
		time.Sleep(10 * time.Millisecond)
	}
	name, err := users.GetOrLoad(ctx, "42", find)
	fmt.Println(name, err)

	fmt.Println(users.Invalidate(ctx, "42"))
	rename := func(context.Context, string) (string, error) { return "Grace", nil }
	name, err = users.GetOrLoad(ctx, "42", rename)
	fmt.Println(name, err)
	// Output:
	// Ada <nil>
	// <nil>
	// Grace <nil>
}

// Classes are declared once, by kind of data, and shared by pointer.
var (
	profiles = &cache.TTL{Name: "profiles", Fresh: 10 * time.Minute, StaleIfError: time.Hour}
	prices   = &cache.TTL{Name: "prices", Fresh: time.Minute, Jitter: -1, StaleWhileRevalidate: 30 * time.Second}
	lookups  = &cache.TTL{Name: "lookups", Fresh: time.Minute, Absent: 10 * time.Second}
)

// The cache has a class for everything, and a call may have its own.
func ExampleTTL() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace", "bot": "Hal"}}
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.Expires(profiles)))
	defer users.Close()

	find := func() {
		must(users.GetOrLoad(ctx, "42", repo.Find))
		must(users.GetOrLoad(ctx, "bot", repo.Find, cache.Expires(lookups)))
	}
	find()
	rdb.advance(5 * time.Minute)
	find() // profiles are fresh for ten minutes, lookups for one
	// Output:
	// SELECT user 42
	// SELECT user bot
	// SELECT user bot
}

// Within the stale window nobody waits: all get the old price, and one of them
// starts the load of the new one.
func ExampleTTL_staleWhileRevalidate() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	cents := 500
	load := func(context.Context, string) (int, error) { return cents, nil }
	shop := must(cache.New(rdb, "prices", cache.Aside[int](), cache.Expires(prices)))
	defer shop.Close()

	fmt.Println(must(shop.GetOrLoad(ctx, "tea", load)))
	cents = 600 // nobody tells the cache
	rdb.advance(time.Minute + time.Second)
	fmt.Println(must(shop.GetOrLoad(ctx, "tea", load)), "stale, at once")

	price := 500
	for price == 500 { // until the refresh has landed, a moment later
		price = must(shop.GetOrLoad(ctx, "tea", load))
	}
	fmt.Println(price)
	// Output:
	// 500
	// 500 stale, at once
	// 600
}

// Within its window an old profile is better than none.
func ExampleTTL_staleIfError() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.Expires(profiles)))
	defer users.Close()

	must(users.GetOrLoad(ctx, "42", repo.Find))
	rdb.advance(30 * time.Minute)
	repo.down = errors.New("the database is down")
	u, err := users.GetOrLoad(ctx, "42", repo.Find)
	fmt.Println(u.Name, err, "stale:", users.Stats().Stale)

	rdb.advance(time.Hour)
	_, err = users.GetOrLoad(ctx, "42", repo.Find)
	fmt.Println(err)
	// Output:
	// SELECT user 42
	// SELECT user 42
	// Grace <nil> stale: 1
	// SELECT user 42
	// the database is down
}

// "No such record" is remembered too, if the class says for how long.
func ExampleTTL_absent() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{}}
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.Expires(lookups)))
	defer users.Close()

	for range 2 {
		_, err := users.GetOrLoad(ctx, "43", repo.Find)
		fmt.Println(err)
	}
	// Whoever inserts the record invalidates its absence, or it lasts for Absent.
	fmt.Println(repo.Rename(ctx, "43", "Ada"), users.Invalidate(ctx, "43"))
	fmt.Println(must(users.GetOrLoad(ctx, "43", repo.Find)).Name)
	// Output:
	// SELECT user 43
	// user 43: cache: not found
	// cache: not found
	// UPDATE user 43
	// <nil> <nil>
	// SELECT user 43
	// Ada
}

// Expire is a gentle Invalidate: it keeps the old value for the stale window.
func ExampleCache_Expire() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.Expires(profiles)))
	defer users.Close()

	must(users.GetOrLoad(ctx, "42", repo.Find))
	fmt.Println(users.Expire(ctx, "42")) // a nightly import may have changed it
	repo.down = errors.New("the database is down")
	u, err := users.GetOrLoad(ctx, "42", repo.Find)
	fmt.Println(u.Name, err)
	// Output:
	// SELECT user 42
	// <nil>
	// SELECT user 42
	// Grace <nil>
}

// A bad class is refused where it is first seen, and every bad field is named.
func ExampleExpires() {
	rdb := embeddedRedis()
	defer rdb.Close()
	hour := &cache.TTL{Fresh: time.Hour, MaxAge: time.Minute}
	_, err := cache.New(rdb, "users", cache.Aside[User](), cache.Expires(hour))
	fmt.Println(err)
	// Output: cache: new "users": Expires: TTL.MaxAge: 1m0s is below Fresh, 1h0m0s
}
