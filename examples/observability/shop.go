package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/larder-go/cache"
)

// Product is what the shop sells.
type Product struct {
	Name  string
	Cents int
}

// shop is three caches, one of each strategy.
type shop struct {
	l1        *cache.L1
	products  *cache.Cache[Product] // aside, with an L1
	customers *cache.Cache[string]  // written through
	likes     *cache.Cache[int]     // written behind
}

// catalogue is the expiry class of products: short, so that there is something to see.
var catalogue = &cache.TTL{
	Name: "catalogue", Fresh: 2 * time.Second, Absent: time.Second,
	StaleWhileRevalidate: 5 * time.Second, StaleIfError: time.Minute,
}

func openShop(rdb redis.UniversalClient, meters *metric.MeterProvider) (s *shop, err error) {
	s = &shop{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	measured := cache.WithMeterProvider(meters)
	if s.l1, err = cache.NewL1(rdb, cache.L1Options{MaxBytes: 64 << 10, TTL: time.Second}); err != nil {
		return s, err
	}
	s.products, err = cache.New(rdb, "products", cache.Aside[Product](), measured,
		cache.WithL1(s.l1), cache.Expires(catalogue), cache.WithKeyGroup(department))
	if err != nil {
		return s, err
	}
	if s.customers, err = cache.New(rdb, "customers", cache.WriteThrough(table{}), measured); err != nil {
		return s, err
	}
	s.likes, err = cache.New(rdb, "likes", cache.WriteBehind(tally, cache.WriteBehindOptions{
		Partitions: 4, AcceptVolatile: "likes of an example may be lost",
	}), measured)
	return s, err
}

// department is the group of a product's key: "books" of "books:7".
func department(key string) string {
	name, _, _ := strings.Cut(key, ":")
	return name
}

// find is the loader of products. A few are not there, and now and then it fails.
func find(ctx context.Context, key string) (Product, error) {
	select {
	case <-time.After(5*time.Millisecond + rand.N(20*time.Millisecond)):
	case <-ctx.Done():
		return Product{}, ctx.Err()
	}
	switch {
	case strings.HasSuffix(key, "0"):
		return Product{}, cache.ErrNotFound
	case rand.N(200) == 0:
		return Product{}, errors.New("the database is busy")
	}
	return Product{Name: key, Cents: 100 + rand.N(10_000)}, nil
}

// table is the system of record of customers.
type table struct{}

func (table) Write(context.Context, string, string) error { return nil }
func (table) Delete(context.Context, string) error        { return nil }

// tally is the sink of likes.
func tally(context.Context, []cache.Mutation[int]) error { return nil }

// visitors is how many customers are in the shop at a time.
const visitors = 8

// traffic sends customers until ctx ends.
func (s *shop) traffic(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for range visitors {
		all.Go(func() {
			for ctx.Err() == nil {
				s.visit(ctx)
				select {
				case <-time.After(rand.N(40 * time.Millisecond)):
				case <-ctx.Done():
				}
			}
		})
	}
}

// visit is what one customer does. Its errors are the measurements' business.
func (s *shop) visit(ctx context.Context) {
	departments := []string{"books", "music", "tools"}
	product := fmt.Sprintf("%s:%d", departments[rand.N(3)], int(100*rand.Float64()*rand.Float64()*rand.Float64()))
	customer := fmt.Sprint(rand.N(50))
	_, _ = s.products.GetOrLoad(ctx, product, find)
	switch rand.N(10) {
	case 0:
		_ = s.products.Invalidate(ctx, product)
	case 1, 2:
		_ = s.customers.Set(ctx, customer, "customer "+customer)
	case 3, 4:
		_ = s.likes.Set(ctx, product, rand.N(1000))
	default:
		_, _ = s.customers.GetOrLoad(ctx, customer, func(context.Context, string) (string, error) { return "customer " + customer, nil })
		_, _ = s.likes.Get(ctx, product)
	}
}

// close flushes likes and ends the caches.
func (s *shop) close() (err error) {
	for _, c := range []interface {
		Shutdown(ctx context.Context) error
	}{s.products, s.customers, s.likes} {
		if !isNil(c) {
			err = errors.Join(err, within(5*time.Second, c.Shutdown))
		}
	}
	if s.l1 != nil {
		err = errors.Join(err, s.l1.Close())
	}
	return err
}

// isNil reports whether a cache was never opened.
func isNil(c any) bool {
	switch c := c.(type) {
	case *cache.Cache[Product]:
		return c == nil
	case *cache.Cache[string]:
		return c == nil
	case *cache.Cache[int]:
		return c == nil
	}
	return false
}
