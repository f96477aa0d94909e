package cache_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/larder-go/cache"
)

// A transaction that touches several records: commit first, then say so.
func ExampleCache_Invalidate() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"1": "Grace", "2": "Ada"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()
	must(users.GetOrLoad(ctx, "1", repo.Find))

	swap := func() error { // BEGIN … COMMIT
		return errors.Join(repo.Rename(ctx, "1", "Ada"), repo.Rename(ctx, "2", "Grace"))
	}
	if err := swap(); err != nil {
		return // nothing was committed: nothing to invalidate
	}
	err := users.Invalidate(ctx, "1", "2")
	fmt.Println(err, must(users.GetOrLoad(ctx, "1", repo.Find)).Name)
	// Output:
	// SELECT user 1
	// UPDATE user 1
	// UPDATE user 2
	// SELECT user 1
	// <nil> Ada
}

// A loader that read the old row before the change cannot store it after it.
func ExampleCache_Invalidate_fence() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"42": "Grace"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	slow := func(ctx context.Context, id string) (User, error) {
		old, err := repo.Find(ctx, id)
		// While this loader holds the old row, another request changes it.
		return old, errors.Join(err, repo.Rename(ctx, id, "Ada"), users.Invalidate(ctx, id))
	}
	u, err := users.GetOrLoad(ctx, "42", slow)
	fmt.Println("asked before the change:", u.Name, err)
	u, err = users.GetOrLoad(ctx, "42", repo.Find)
	fmt.Println("asked after it:", u.Name, err, "refused:", users.Stats().RefusedFills)
	// Output:
	// SELECT user 42
	// UPDATE user 42
	// asked before the change: Grace <nil>
	// SELECT user 42
	// asked after it: Ada <nil> refused: 1
}

// Set fills the cache with what was read in bulk. It is not ordered against
// other writers: after a change use Update or Invalidate.
func ExampleCache_Set() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()

	rows := []User{{"1", "Grace"}, {"2", "Ada"}} // SELECT … LIMIT 1000
	for _, u := range rows {
		if err := users.Set(ctx, u.ID, u, cache.Expires(profiles)); err != nil {
			fmt.Println(err) // not cached: the next reader loads it
		}
	}
	u, err := users.Get(ctx, "2")
	fmt.Println(u.Name, err)
	// Output: Ada <nil>
}

// Account is a row with a version that the database counts up.
type Account struct {
	Cents   int
	Version uint64
}

// CacheVersion makes Account a cache.Versioned.
func (a Account) CacheVersion() uint64 { return a.Version }

// What arrives in the wrong order does not overwrite what is newer.
func ExampleVersioned() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	accounts := must(cache.New(rdb, "accounts", cache.Aside[Account]()))
	defer accounts.Close()

	// Two events of a change feed, the later one first.
	fmt.Println(accounts.Set(ctx, "7", Account{Cents: 500, Version: 12}))
	fmt.Println(accounts.Set(ctx, "7", Account{Cents: 900, Version: 11})) // dropped, no error

	a, err := accounts.Get(ctx, "7")
	fmt.Println(a.Cents, err)
	// Output:
	// <nil>
	// <nil>
	// 500 <nil>
}
