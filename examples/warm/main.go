// Warm fills a cache with 2,000 products before the shop opens, no faster than the
// database likes it, and shows how far it is. Run again, it skips what is there.
//
// It runs on the Redis at REDIS_URL, or on an embedded one.
package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

const products = 2000

type product struct{ ID, Name string }

// load stands for SELECT … WHERE id IN (…).
func load(_ context.Context, ids []string) (map[string]product, error) {
	time.Sleep(5 * time.Millisecond)
	rows := map[string]product{}
	for _, id := range ids {
		rows[id] = product{ID: id, Name: "Lamp " + id}
	}
	return rows, nil
}

// ids are those of all products: from a cursor of the database, say.
func ids() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range products {
			if !yield(fmt.Sprint(i)) {
				return
			}
		}
	}
}

// bar draws how far a warming is.
func bar(out io.Writer) func(cache.WarmReport) {
	return func(r cache.WarmReport) {
		done := r.Loaded + r.Skipped + r.Failed
		full := 40 * done / products
		fmt.Fprintf(out, "\r[%s%s] %4d loaded, %4d skipped, %d failed", strings.Repeat("#", full), strings.Repeat(".", 40-full), r.Loaded, r.Skipped, r.Failed)
	}
}

func main() {
	rdb, done := connect()
	defer done()
	run(context.Background(), rdb, os.Stdout)
}

// run warms twice.
func run(ctx context.Context, rdb *redis.Client, out io.Writer) {
	c, err := cache.New(rdb, "warm.products", cache.Aside[product]())
	check(err)
	defer c.Close()
	for _, name := range []string{"first run", "second run"} {
		began := time.Now()
		report, err := c.Warm(ctx, ids(), load, cache.WarmOptions{PerSecond: 1000, Batch: 50, Progress: bar(out)})
		check(err)
		fmt.Fprintf(out, "\n%s: %d products in %s\n", name, report.Loaded+report.Skipped, time.Since(began).Round(100*time.Millisecond))
	}
}
