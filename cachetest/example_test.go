package cachetest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/cachetest"
)

// A test of a program that keeps something in Redis for an hour.
func ExampleRedis() {
	test := func(t testing.TB) {
		ctx := context.Background()
		rdb := cachetest.Redis(t)
		rdb.Set(ctx, "greeting", "hello", time.Hour)

		rdb.Advance(59 * time.Minute)
		fmt.Println(rdb.Get(ctx, "greeting").Val())

		rdb.Advance(time.Minute)
		fmt.Println(rdb.Get(ctx, "greeting").Err() == redis.Nil)

		rdb.Fail("LOADING Redis is loading the dataset in memory")
		fmt.Println(rdb.Get(ctx, "greeting").Err())
	}
	run(test)
	// Output:
	// hello
	// true
	// LOADING Redis is loading the dataset in memory
}
