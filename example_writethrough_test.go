package cache_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/larder-go/cache"
)

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

// Rows with versions can do without the guard, for one round trip less. What is
// cached is replaced by a newer version; what is not, the next reader loads.
func ExampleUnguarded() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	table := accountTable{"7": {Cents: 500, Version: 11}}
	accounts := must(cache.New(rdb, "accounts", cache.WriteThrough[Account](table, cache.Unguarded())))
	defer accounts.Close()
	load := func(_ context.Context, id string) (Account, error) { return table[id], nil }

	fmt.Printf("%+v\n", must(accounts.GetOrLoad(ctx, "7", load)))
	fmt.Println(accounts.Set(ctx, "7", Account{Cents: 900}))
	fmt.Printf("%+v\n", must(accounts.Get(ctx, "7")))
	// Output:
	// {Cents:500 Version:11}
	// <nil>
	// {Cents:900 Version:12}
}
