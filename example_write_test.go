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

// userWriter makes a cache.Writer of the repository.
type userWriter struct{ repo *userRepo }

func (w userWriter) Write(ctx context.Context, id string, u User) error {
	return w.repo.Rename(ctx, id, u.Name)
}

func (w userWriter) Delete(_ context.Context, id string) error {
	fmt.Println("DELETE user", id)
	delete(w.repo.names, id)
	return nil
}

// Set and Delete go to the repository first. What was written is cached: the
// next reader does not load it.
func ExampleWriteThrough() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{}}
	users := must(cache.New(rdb, "users", cache.WriteThrough[User](userWriter{repo})))
	defer users.Close()

	err := users.Set(ctx, "42", User{ID: "42", Name: "Grace"})
	if errors.Is(err, cache.ErrPending) {
		err = nil // written; its invalidation is queued: do not repeat it
	}
	fmt.Println(err, must(users.GetOrLoad(ctx, "42", repo.Find)).Name)

	fmt.Println(users.Delete(ctx, "42"))
	_, err = users.GetOrLoad(ctx, "42", repo.Find)
	fmt.Println(err)
	// Output:
	// UPDATE user 42
	// <nil> Grace
	// DELETE user 42
	// <nil>
	// SELECT user 42
	// user 42: cache: not found
}

// Where stale data costs more than a refused write, nothing is written while
// Redis cannot guard it.
func ExampleFailClosed() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{}}
	users := must(cache.New(rdb, "users", cache.WriteThrough[User](userWriter{repo}, cache.FailClosed())))
	defer users.Close()

	rdb.fail()
	err := users.Set(ctx, "42", User{ID: "42", Name: "Grace"})
	fmt.Println(err != nil, errors.Is(err, cache.ErrPending), len(repo.names))
	// Output: true false 0
}

// accountTable is a writer whose database counts the versions.
type accountTable map[string]Account

func (t accountTable) WriteReturning(_ context.Context, id string, a Account) (Account, error) {
	a.Version = t[id].Version + 1 // UPDATE … SET version = version + 1 RETURNING *
	t[id] = a
	return a, nil
}

func (t accountTable) Write(ctx context.Context, id string, a Account) error {
	_, err := t.WriteReturning(ctx, id, a)
	return err
}

func (t accountTable) Delete(_ context.Context, id string) error {
	delete(t, id)
	return nil
}

// A writer that returns the row has that cached: with its defaults, its
// triggers' work and its version.
func ExampleReturningWriter() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	table := accountTable{"7": {Cents: 500, Version: 11}}
	accounts := must(cache.New(rdb, "accounts", cache.WriteThrough[Account](table)))
	defer accounts.Close()

	fmt.Println(accounts.Set(ctx, "7", Account{Cents: 900}))
	fmt.Printf("%+v\n", must(accounts.Get(ctx, "7")))
	// Output:
	// <nil>
	// {Cents:900 Version:12}
}
