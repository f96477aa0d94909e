// Partial caches the fields of one object for different times: what a product is
// called for an hour, its price for five seconds, how many are in stock for one. A
// page of products is joined from the three caches, which is one call each.
//
// It runs on the Redis at REDIS_URL, or on an embedded one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

var (
	slow = &cache.TTL{Name: "details", Fresh: time.Hour}
	// An old price may be shown for a moment, while it is asked for again.
	quick = &cache.TTL{Name: "prices", Fresh: 5 * time.Second, StaleWhileRevalidate: 10 * time.Second}
	brief = &cache.TTL{Name: "stock", Fresh: time.Second}
)

type details struct{ Name, Description string }

// product is what a page shows of a product.
type product struct {
	details
	Cents, Stock int
}

// catalog caches the fields of products, each for as long as it may be old.
type catalog struct {
	shop    *shop
	details *cache.Cache[details]
	prices  *cache.Cache[int]
	stock   *cache.Cache[int]
}

func newCatalog(rdb *redis.Client, s *shop) *catalog {
	c := &catalog{shop: s}
	var err error
	c.details, err = cache.New(rdb, "partial.details", cache.Aside[details](), cache.Expires(slow))
	check(err)
	c.prices, err = cache.New(rdb, "partial.prices", cache.Aside[int](), cache.Expires(quick))
	check(err)
	c.stock, err = cache.New(rdb, "partial.stock", cache.Aside[int](), cache.Expires(brief))
	check(err)
	return c
}

// page joins products. Those that do not exist are left out.
func (c *catalog) page(ctx context.Context, ids []string) (map[string]product, error) {
	known, err := c.details.GetOrLoadMany(ctx, ids, c.shop.findDetails)
	if err != nil {
		return nil, err
	}
	prices, err := c.prices.GetOrLoadMany(ctx, ids, c.shop.findPrices)
	if err != nil {
		return nil, err
	}
	stock, err := c.stock.GetOrLoadMany(ctx, ids, c.shop.findStock)
	if err != nil {
		return nil, err
	}
	page := map[string]product{}
	for id, d := range known {
		page[id] = product{details: d, Cents: prices[id], Stock: stock[id]}
	}
	return page, nil
}

func (c *catalog) close() {
	_ = c.details.Close()
	_ = c.prices.Close()
	_ = c.stock.Close()
}

func main() {
	rdb, wait, done := connect()
	defer done()
	run(context.Background(), rdb, os.Stdout, wait)
}

// run shows what a page costs, as time goes on.
func run(ctx context.Context, rdb *redis.Client, out io.Writer, wait func(time.Duration)) {
	s := &shop{queries: map[string]int{}}
	c := newCatalog(rdb, s)
	defer c.close()
	ids := []string{"1", "2", "3", "4"}
	check(errors.Join(c.details.Invalidate(ctx, ids...), c.prices.Invalidate(ctx, ids...), c.stock.Invalidate(ctx, ids...)))

	for i, step := range []struct {
		after time.Duration
		what  string
	}{
		{0, "nothing is cached: one query for each table"},
		{0, "at once again: none"},
		{1200 * time.Millisecond, "a second later: only the stock is asked for"},
		{4 * time.Second, "5 s later: old prices are shown, and refreshed in the background"},
		{0, "at once again: new prices"},
	} {
		wait(step.after)
		s.setDearer(i > 0)
		page, err := c.page(ctx, ids)
		check(err)
		wait(50 * time.Millisecond) // for what goes on in the background
		p := page["1"]
		fmt.Fprintf(out, "%-65s %s: %d cents, %d in stock; %s\n", step.what, p.Name, p.Cents, p.Stock, s.asked())
	}
}
