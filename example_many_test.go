package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/larder-go/cache"
)

// findMany stands for SELECT … WHERE id IN (…). Users it does not find are not in
// the map.
func findMany(_ context.Context, ids []string) (map[string]User, error) {
	slices.Sort(ids)
	fmt.Println("SELECT users", strings.Join(ids, " "))
	names := map[string]string{"1": "Grace", "2": "Ada", "3": "Barbara"}
	users := map[string]User{}
	for _, id := range ids {
		if name, ok := names[id]; ok {
			users[id] = User{ID: id, Name: name}
		}
	}
	return users, nil
}

// What is cached is not asked for, the rest in one query.
func ExampleCache_GetOrLoadMany() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	for _, ids := range [][]string{{"1", "2"}, {"2", "1", "3", "4"}} {
		found, err := users.GetOrLoadMany(ctx, ids, findMany)
		fmt.Println(len(found), found["2"].Name, err)
	}
	// Output:
	// SELECT users 1 2
	// 2 Ada <nil>
	// SELECT users 3 4
	// 3 Ada <nil>
}

// GetMany only looks.
func ExampleCache_GetMany() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	err := users.SetMany(ctx, map[string]User{"1": {ID: "1", Name: "Grace"}, "2": {ID: "2", Name: "Ada"}})
	fmt.Println(err)
	found, err := users.GetMany(ctx, []string{"1", "2", "3"})
	fmt.Println(len(found), found["1"].Name, err)
	// Output:
	// <nil>
	// 2 Grace <nil>
}

// SetMany stores the results of a search one by one, so that the pages of the
// single users have them.
func ExampleCache_SetMany() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	results := map[string]User{"1": {ID: "1", Name: "Grace"}, "2": {ID: "2", Name: "Ada"}}
	fmt.Println(users.SetMany(ctx, results))
	fmt.Println(must(users.GetOrLoad(ctx, "2", repo.Find)).Name)
	// Output:
	// <nil>
	// Ada
}

// Before a new service takes traffic: at most 500 users a second, 2 in a query.
func ExampleCache_Warm() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	ids := slices.Values([]string{"1", "2", "3"}) // or a cursor of the database
	for range 2 {
		report, err := users.Warm(ctx, ids, findMany, cache.WarmOptions{PerSecond: 500, Batch: 2})
		fmt.Printf("%+v %v\n", report, err)
	}
	// Output:
	// SELECT users 1 2
	// SELECT users 3
	// {Loaded:3 Skipped:0 Failed:0} <nil>
	// {Loaded:0 Skipped:3 Failed:0} <nil>
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
	_, err := users.GetOrLoad(ctx, "42", func(context.Context, string) (User, error) {
		return users.GetOrLoad(context.Background(), "43", repo.Find)
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

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
