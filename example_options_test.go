package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// What a service decides once, all of its caches get.
func ExampleOptions() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()

	house := cache.Options{
		cache.Expires(profiles),
		cache.WithLoadTimeout(5 * time.Second),
		cache.WithLoadLimit(16), // 64 connections of the database, 4 processes
		cache.WithLogger(slog.Default()),
	}
	users := must(cache.New(rdb, "users", cache.Aside[User](), house))
	defer users.Close()
	stock := must(cache.New(rdb, "stock", cache.Aside[int](), house,
		cache.Expires(prices), // what comes later wins
		cache.WithXFetch(0)))  // no early refresh: each load is billed
	defer stock.Close()

	fmt.Println(users.Set(ctx, "42", User{Name: "Grace"}), stock.Set(ctx, "tea", 7))
	rdb.advance(5 * time.Minute)
	_, err := stock.Get(ctx, "tea")
	fmt.Println(must(users.Get(ctx, "42")).Name, err)
	// Output:
	// <nil> <nil>
	// Grace cache: miss
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

// A deployment that changes what a field means, with old processes beside it.
func ExampleWithSchema() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	before := must(cache.New(rdb, "prices", cache.Aside[int](), cache.WithSchema(1))) // euros
	defer before.Close()
	after := must(cache.New(rdb, "prices", cache.Aside[int](), cache.WithSchema(2))) // cents
	defer after.Close()
	euros := func(context.Context, string) (int, error) { return 5, nil }
	cents := func(context.Context, string) (int, error) { return 500, nil }

	fmt.Println(must(before.GetOrLoad(ctx, "tea", euros)))
	fmt.Println(must(after.GetOrLoad(ctx, "tea", cents)))  // an older entry is replaced
	fmt.Println(must(before.GetOrLoad(ctx, "tea", euros))) // a newer one is left alone
	fmt.Println(must(after.Get(ctx, "tea")))
	// Output:
	// 5
	// 500
	// 5
	// 500
}

// A client that reads from replicas is refused, unless its lag is acceptable.
func ExampleAllowReplicaReads() {
	replicas := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{"node1:6379", "node2:6379"}, ReadOnly: true, // it dials with the first command
	})
	defer replicas.Close()

	_, err := cache.New(replicas, "users", cache.Aside[User]())
	fmt.Println("accepted:", err == nil)
	users, err := cache.New(replicas, "users", cache.Aside[User](), cache.AllowReplicaReads())
	fmt.Println("accepted:", err == nil)
	defer users.Close()
	// Output:
	// accepted: false
	// accepted: true
}

// A load has one deadline, whoever waits for it and for how long.
func ExampleWithLoadTimeout() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.WithLoadTimeout(10*time.Millisecond)))
	defer users.Close()

	_, err := users.GetOrLoad(ctx, "42", func(ctx context.Context, _ string) (User, error) {
		<-ctx.Done() // a query that hangs, and obeys its context
		return User{}, ctx.Err()
	})
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// While Redis is down, the database gets as many queries as it can bear.
func ExampleWithLoadLimit() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"43": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.WithLoadLimit(1)))
	defer users.Close()
	rdb.fail()

	// A load that takes the only place, and during it another request.
	_, err := users.GetOrLoad(ctx, "42", func(ctx context.Context, _ string) (User, error) {
		return users.GetOrLoad(ctx, "43", repo.Find)
	})
	if errors.Is(err, cache.ErrOverloaded) {
		fmt.Println("503:", err) // ask again later
	}
	// Output: 503: cache: overloaded
}

// A caller that would rather load twice than wait for another process.
func ExampleWithLock() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	one := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer one.Close()
	two := must(cache.New(rdb, "users", cache.Aside[User](), cache.WithLock(cache.Lock{Wait: 10 * time.Millisecond})))
	defer two.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}

	u, err := one.GetOrLoad(ctx, "42", func(ctx context.Context, id string) (User, error) {
		// This process has the key's lease when the other one comes.
		u, err := two.GetOrLoad(ctx, id, repo.Find)
		fmt.Println("two, not stored:", u.Name, err)
		return repo.Find(ctx, id)
	})
	fmt.Println("one, stored:", u.Name, err)
	// Output:
	// SELECT user 42
	// two, not stored: Grace <nil>
	// SELECT user 42
	// one, stored: Grace <nil>
}

// After a failed load the fleet leaves the key alone for a moment. Callers wait
// for the end of that, but no longer than Lock.Wait or their deadline allows.
func ExampleWithLock_backoff() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{down: errors.New("the database is down")}
	users := must(cache.New(rdb, "users", cache.Aside[User](),
		cache.WithLock(cache.Lock{Wait: 10 * time.Millisecond})))
	defer users.Close()

	for range 3 {
		_, err := users.GetOrLoad(ctx, "42", repo.Find)
		fmt.Println(err, errors.Is(err, cache.ErrBackoff))
	}
	// Output:
	// SELECT user 42
	// the database is down false
	// cache: backing off after a failed load true
	// cache: backing off after a failed load true
}

// The log has what the cache absorbed, and never a key.
func ExampleWithLogger() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.WithLogger(logger)))
	defer users.Close()

	rdb.fail()
	fmt.Println(must(users.GetOrLoad(ctx, "42", repo.Find)).Name)
	// Output:
	// level=WARN msg="redis failed" cache=users op=cache.get error="read: LOADING Redis is loading the dataset in memory"
	// SELECT user 42
	// Grace
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
