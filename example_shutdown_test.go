package cache_test

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/larder-go/cache"
)

// On SIGTERM: stop what uses the cache, then the cache, then the client.
func ExampleCache_Shutdown() {
	process, terminate := context.WithCancel(context.Background())
	ctx, stop := signal.NotifyContext(process, syscall.SIGTERM)
	defer stop()
	rdb := embeddedRedis()
	defer rdb.Close() // last: the cache never closes the client
	users := must(cache.New(rdb, "users", cache.Aside[User]()))

	terminate() // here in place of the signal
	<-ctx.Done()
	// server.Shutdown(…) comes here: no handler uses the cache any more.

	// ctx is over, so the grace period is a context of its own.
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("shutdown:", users.Shutdown(grace))

	_, err := users.Get(grace, "42")
	fmt.Println(errors.Is(err, cache.ErrClosed))
	// Output:
	// shutdown: <nil>
	// true
}

// Redis is down when the process ends: what could not be invalidated is counted.
func ExampleRemainingError() {
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	rdb.fail()
	err := users.Invalidate(context.Background(), "42", "43")
	fmt.Println("queued:", errors.Is(err, cache.ErrPending))

	grace, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = users.Shutdown(grace)
	var left *cache.RemainingError
	if errors.As(err, &left) {
		// Other processes may serve these two until their TTL ends.
		fmt.Println("left behind:", left.Pending, errors.Is(err, context.DeadlineExceeded))
	}
	// Output:
	// queued: true
	// left behind: 2 true
}
