package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/larder-go/cache"
)

// follow is all that a service changes: in one process of the fleet, or in several,
// until ctx ends.
func follow(ctx context.Context, databaseURL string, users, rosters cache.Invalidator) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i, to := range []struct {
		name  string
		cache cache.Invalidator
	}{{"users", users}, {"rosters", rosters}} {
		both.Go(func() {
			defer cancel()
			log := &outbox{url: databaseURL, cache: to.name, every: lookAgain}
			defer log.Close()
			errs[i] = cache.Follow(ctx, log, to.cache)
		})
	}
	both.Wait()
	return errors.Join(errs...)
}

// runConsumer is a whole process; it ends when in does. If it is to hold, it says
// on out when it has read changes, and does not invalidate them.
func runConsumer(ctx context.Context, in io.Reader, out io.Writer, hold bool) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	rdb, err := openRedis(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rdb.Close()) }()
	caches, err := openCaches(rdb.client)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, caches.shutdown()) }()
	var users, rosters cache.Invalidator = caches.users, caches.rosters
	if hold {
		users, rosters = holding{out}, holding{out}
	}
	if err := follow(ctx, os.Getenv("DATABASE_URL"), users, rosters); ctx.Err() == nil {
		return err
	}
	return nil
}

// holding never invalidates: between the commit and the invalidation is where the
// drill kills it.
type holding struct{ out io.Writer }

func (h holding) hold(ctx context.Context) error {
	fmt.Fprintln(h.out, "holding")
	<-ctx.Done()
	return ctx.Err()
}

func (h holding) Invalidate(ctx context.Context, _ ...string) error     { return h.hold(ctx) }
func (h holding) InvalidateTags(ctx context.Context, _ ...string) error { return h.hold(ctx) }
func (h holding) InvalidateAll(ctx context.Context) error               { return h.hold(ctx) }
