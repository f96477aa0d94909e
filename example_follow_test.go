package cache_test

import (
	"context"
	"fmt"

	"github.com/larder-go/cache"
)

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
