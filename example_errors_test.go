package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// All bad arguments of New are reported at once.
func ExampleNew() {
	_, err := cache.New(nil, "", cache.Aside[User](), cache.WithLoadLimit(0), cache.Expires(nil))
	fmt.Println(err)
	// Output:
	// cache: new: WithLoadLimit: 0 is below 1
	// Expires: TTL: the class is nil
	// name: a cache's name has 1 to 64 bytes, this one has 0
	// client: is nil
}

// An OpError is the cache's own failure, with the key that it concerns: of many
// keys, one for each. A loader's or a writer's failure never is one.
func ExampleOpError() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()
	rdb.fail()

	err := users.Set(ctx, "42", User{Name: "Grace"})
	var failed *cache.OpError
	if errors.As(err, &failed) {
		fmt.Println(failed.Op, failed.Key, redis.IsLoadingError(failed))
	}

	down := errors.New("the database is down")
	_, err = users.GetOrLoad(ctx, "42", func(context.Context, string) (User, error) { return User{}, down })
	fmt.Println(errors.As(err, &failed), err)
	// Output:
	// set 42 true
	// false the database is down
}

// A panic of a loader stays out of the goroutine it runs on and reaches those
// who wait for it as an error.
func ExamplePanicError() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	_, err := users.GetOrLoad(ctx, "42", func(context.Context, string) (User, error) {
		columns := strings.Split("42;Grace", ",")
		return User{ID: columns[0], Name: columns[1]}, nil
	})
	var panicked *cache.PanicError
	if errors.As(err, &panicked) {
		fmt.Println(panicked.Value, len(panicked.Stack) > 0) // log the stack
	}
	// Output: runtime error: index out of range [1] with length 1 true
}
