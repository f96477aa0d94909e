package cache_test

import (
	"context"
	"fmt"

	"github.com/larder-go/cache"
)

// Why did this read go to the database? Explain asks the code that decides. Its
// String has all that is known; Action is for a program, Next for a person.
func ExampleCache_Explain() {
	ctx := context.Background()
	rdb := embeddedRedis() // in a service: redis.NewUniversalClient; see Tune
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[string]()))
	defer users.Close()
	why := func() {
		e := must(users.Explain(ctx, "42"))
		fmt.Printf("%s: %s\n", e.Action, e.Next)
	}
	find := func(context.Context, string) (string, error) { return "Ada", nil }

	why()
	must(users.GetOrLoad(ctx, "42", find))
	why()
	rdb.Set(ctx, "users:42", "somebody else's", 0)
	why()
	// Output:
	// load: GetOrLoad loads after taking the lease
	// hit: GetOrLoad is served from Redis
	// bypass: GetOrLoad loads without storing, because the bytes are not this library's
}

// At start, or in a health check: what is this Redis set to that hurts a cache?
func ExampleDiagnose() {
	rdb := embeddedRedis() // a test double, which tells little of itself
	defer rdb.Close()
	findings, err := cache.Diagnose(context.Background(), rdb)
	if err != nil {
		fmt.Println("Redis does not answer:", err)
	}
	for _, f := range findings {
		fmt.Println(f.Name)
		_, _ = f.Detail, f.Mend // what was seen, and the command that mends it
	}
	// Output:
	// cannot be read
	// cannot be read
}
