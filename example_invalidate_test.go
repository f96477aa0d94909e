package cache_test

import (
	"context"
	"fmt"

	"github.com/larder-go/cache"
)

// A page shows several records. Its entry has the tag of each, so that a change of
// one of them invalidates all pages that show it, without a list of pages.
func ExampleCache_InvalidateTags() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"1": "Grace", "2": "Ada"}}
	pages := must(cache.New(rdb, "pages", cache.Aside[string]()))
	defer pages.Close()

	team := pages.ReadThrough(func(ctx context.Context, _ string) (string, error) {
		grace, err := repo.Find(ctx, "1")
		if err != nil {
			return "", err
		}
		ada, err := repo.Find(ctx, "2")
		return grace.Name + " and " + ada.Name, err
	}, cache.Tagged("user:1", "user:2"))

	fmt.Println(must(team.Get(ctx, "team")))
	fmt.Println(must(team.Get(ctx, "team"))) // a hit, one round trip

	check(repo.Rename(ctx, "2", "Ada L."))
	fmt.Println("invalidated:", pages.InvalidateTags(ctx, "user:2") == nil)
	fmt.Println(must(team.Get(ctx, "team")))
	// Output:
	// SELECT user 1
	// SELECT user 2
	// Grace and Ada
	// Grace and Ada
	// UPDATE user 2
	// invalidated: true
	// SELECT user 1
	// SELECT user 2
	// Grace and Ada L.
}

// As an option of New it is a tag of all entries; those of calls come to it.
func ExampleTagged() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	prices := must(cache.New(rdb, "prices", cache.Aside[int](), cache.Tagged("list 2026")))
	defer prices.Close()

	check(prices.Set(ctx, "apple", 3, cache.Tagged("fruit")))
	check(prices.Set(ctx, "bread", 4))
	check(prices.InvalidateTags(ctx, "fruit"))
	_, err := prices.Get(ctx, "apple")
	fmt.Println(err)
	fmt.Println(must(prices.Get(ctx, "bread")))

	check(prices.InvalidateTags(ctx, "list 2026"))
	_, err = prices.Get(ctx, "bread")
	fmt.Println(err)
	// Output:
	// cache: miss
	// 4
	// cache: miss
}

// After a bulk change nobody knows which entries are concerned: all become invalid
// at once, however many there are. It takes a second.
func ExampleCache_InvalidateAll() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	repo := &userRepo{names: map[string]string{"1": "Grace", "2": "Ada"}}
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()
	for _, id := range []string{"1", "2"} {
		must(users.GetOrLoad(ctx, id, repo.Find))
	}

	repo.names = map[string]string{"1": "Hopper", "2": "Lovelace"} // an import
	if err := users.InvalidateAll(ctx); err != nil {
		panic(err)
	}
	for _, id := range []string{"1", "2"} {
		fmt.Println(must(users.GetOrLoad(ctx, id, repo.Find)).Name)
	}
	// Output:
	// SELECT user 1
	// SELECT user 2
	// SELECT user 1
	// Hopper
	// SELECT user 2
	// Lovelace
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// outbox stands for a table that triggers fill; see examples/outbox for one in
// PostgreSQL.
type outbox struct {
	committed chan cache.Change
	done      []string
}

func (o *outbox) Next(ctx context.Context) ([]cache.Change, error) {
	select {
	case c := <-o.committed:
		return []cache.Change{c}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (o *outbox) Done(_ context.Context, changes []cache.Change) error {
	for _, c := range changes {
		o.done = append(o.done, c.ID)
	}
	return nil
}

// The writer knows the table only; Follow runs in one process of the fleet.
func ExampleFollow() {
	ctx, stop := context.WithCancel(context.Background())
	rdb := embeddedRedis()
	defer rdb.Close()
	users := must(cache.New(rdb, "users", cache.Aside[User]()))
	defer users.Close()
	name := "Ada"
	load := func(_ context.Context, id string) (User, error) { return User{ID: id, Name: name}, nil }
	fmt.Println(must(users.GetOrLoad(ctx, "42", load)).Name)

	log := &outbox{committed: make(chan cache.Change, 1)}
	ended := make(chan error)
	go func() { ended <- cache.Follow(ctx, log, users) }()
	name = "Grace" // UPDATE users SET name = 'Grace' WHERE id = '42'
	log.committed <- cache.Change{ID: "1", Keys: []string{"42"}}
	for must(users.GetOrLoad(ctx, "42", load)).Name == "Ada" {
	}
	fmt.Println(must(users.GetOrLoad(ctx, "42", load)).Name)

	stop()
	fmt.Println(<-ended)
	// Output:
	// Ada
	// Grace
	// context canceled
}
