package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/larder-go/cache"
)

// Completion is the request of a model call, whose answer is worth keeping.
type Completion struct {
	Model       string
	Temperature float64
	Messages    []string
	Options     map[string]any
}

// Whatever decides the answer goes into the key.
func ExampleHashKey() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	month := &cache.TTL{Name: "completions", Fresh: 30 * 24 * time.Hour}
	answers := must(cache.New(rdb, "answers", cache.Aside[string](), cache.Expires(month)))
	defer answers.Close()

	ask := func(c Completion) {
		key := cache.HashKey("v1", c) // raise it when the prompt's template changes
		fmt.Println(must(answers.GetOrLoad(ctx, key, func(context.Context, string) (string, error) {
			fmt.Println("POST /completions")
			return "42", nil
		})))
	}
	question := []string{"What is six times seven?"}
	ask(Completion{"small", 0, question, map[string]any{"seed": 1, "top": 5}})
	ask(Completion{"small", 0, question, map[string]any{"top": 5, "seed": 1}}) // maps have no order
	ask(Completion{"large", 0, question, nil})
	// Output:
	// POST /completions
	// 42
	// 42
	// POST /completions
	// 42
}

// Parts do not run into each other, and only their kind and value count.
func ExampleHashKey_parts() {
	fmt.Println(len(cache.HashKey()))
	fmt.Println(cache.HashKey("a", "bc") == cache.HashKey("ab", "c"))
	fmt.Println(cache.HashKey(int32(7)) == cache.HashKey(7))
	fmt.Println(cache.HashKey(uint(7)) == cache.HashKey(7))
	// Output:
	// 64
	// false
	// true
	// false
}
