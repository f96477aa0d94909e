package cache_test

import (
	"context"
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
