package cache_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache"
)

// Update wraps the write of one record. The error is the write's own, but for
// ErrPending, which says that the write succeeded.
func ExampleCache_Update() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()
	must(users.GetOrLoad(ctx, "42", repo.Find))

	err := users.Update(ctx, "42", func(ctx context.Context) error { return repo.Rename(ctx, "42", "Ada") })
	switch {
	case errors.Is(err, cache.ErrPending):
		fmt.Println("200, other processes may see the old name for a moment") // do not repeat it
	case err != nil:
		fmt.Println("500:", err)
	default:
		fmt.Println("200")
	}
	fmt.Println(must(users.GetOrLoad(ctx, "42", repo.Find)).Name)
	// Output:
	// SELECT user 42
	// UPDATE user 42
	// 200
	// SELECT user 42
	// Ada
}

// Redis fails while a record is changed: the write is made, its invalidation is
// queued, and this process does not read the key until it has landed.
func ExampleCache_Update_pending() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	must(users.GetOrLoad(ctx, "42", repo.Find)) // Redis has Grace

	rdb.fail()
	err := users.Update(ctx, "42", func(ctx context.Context) error { return repo.Rename(ctx, "42", "Ada") })
	fmt.Println("pending:", errors.Is(err, cache.ErrPending), users.Stats().Pending)
	fmt.Println(must(users.GetOrLoad(ctx, "42", repo.Find)).Name)

	rdb.heal()
	fmt.Println(users.Shutdown(ctx), users.Stats().Pending) // it waits for the queue
	// Output:
	// SELECT user 42
	// UPDATE user 42
	// pending: true 1
	// SELECT user 42
	// Ada
	// <nil> 0
}

// The write's own error comes back unchanged.
func ExampleCache_Update_error() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	errTaken := errors.New("the name is taken")
	err := users.Update(ctx, "42", func(context.Context) error { return errTaken })
	fmt.Println(errors.Is(err, errTaken), errors.Is(err, cache.ErrPending))
	// Output: true false
}

// Where a failover must not bring back what was removed, the replicas confirm.
// Here there are none: the removal is made, and the caller is told.
func ExampleWithReplicaWait() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User](), cache.WithReplicaWait(1, 10*time.Millisecond)))
	fmt.Println(users.Set(ctx, "42", User{Name: "Grace"}))

	err := users.Invalidate(ctx, "42")
	fmt.Println("confirmed:", err == nil, "pending:", errors.Is(err, cache.ErrPending))
	fmt.Println("left in Redis:", rdb.Exists(ctx, "users:42").Val())
	fmt.Println(users.Close())
	// Output:
	// <nil>
	// confirmed: false pending: true
	// left in Redis: 0
	// cache: closed with 0 dirty keys and 1 pending invalidations left
}
