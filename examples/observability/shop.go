package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
	products  *cache.Cache[Product] // aside, with an L1
	customers *cache.Cache[string]  // written through
	likes     *cache.Cache[int]     // written behind

	opened []func(context.Context) error // how each of them is ended
}

// catalogue is the expiry class of products: short, so that there is something to see.
var catalogue = &cache.TTL{
	Name: "catalogue", Fresh: 2 * time.Second, Absent: time.Second,
	StaleWhileRevalidate: 5 * time.Second, StaleIfError: time.Minute,
}

func openShop(rdb redis.UniversalClient, meters *metric.MeterProvider) (*shop, error) {
	s := &shop{}
	if err := s.open(rdb, cache.WithMeterProvider(meters)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *shop) open(rdb redis.UniversalClient, measured cache.Option) error {
	l1, err := cache.NewL1(rdb, cache.L1Options{MaxBytes: 64 << 10, TTL: time.Second})
	if err != nil {
		return err
	}
	s.opened = append(s.opened, func(context.Context) error { return l1.Close() })
	s.products, err = cache.New(rdb, "products", cache.Aside[Product](), measured,
		cache.WithL1(l1), cache.Expires(catalogue), cache.WithKeyGroup(department))
	if err != nil {
		return err
	}
	s.opened = append(s.opened, s.products.Shutdown)
	s.customers, err = cache.New(rdb, "customers", cache.WriteThrough(table{}), measured)
	if err != nil {
		return err
	}
	s.opened = append(s.opened, s.customers.Shutdown)
	s.likes, err = cache.New(rdb, "likes", cache.WriteBehind(tally, cache.WriteBehindOptions{
		Partitions: 4, AcceptVolatile: "likes of an example may be lost",
	}), measured)
	if err != nil {
		return err
	}
	s.opened = append(s.opened, s.endLikes)
	return nil
}

// endLikes brings all likes to the sink. While Redis does not answer it tries again.
func (s *shop) endLikes(ctx context.Context) error {
	for s.likes.Flush(ctx) != nil && ctx.Err() == nil {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return s.likes.Shutdown(ctx)
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

// close flushes likes and ends what was opened, the last first.
func (s *shop) close() (err error) {
	for _, end := range slices.Backward(s.opened) {
		err = errors.Join(err, within(30*time.Second, end))
	}
	return err
}
