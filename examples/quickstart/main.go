// Quickstart wraps a slow repository call in a cache: on the Redis at REDIS_URL,
// or on an embedded one.
package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/larder-go/cache"
)

type user struct{ ID, Name string }

// repository stands for the system of record: it takes 50 ms to answer.
type repository struct {
	mu    sync.Mutex
	names map[string]string
}

func (r *repository) Find(_ context.Context, id string) (user, error) {
	time.Sleep(50 * time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	name, ok := r.names[id]
	if !ok {
		return user{}, cache.ErrNotFound
	}
	return user{ID: id, Name: name}, nil
}

func (r *repository) Rename(id, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[id] = name
}

func main() {
	ctx := context.Background()
	rdb, done := connect()
	defer done()
	repo := &repository{names: map[string]string{"42": "Grace"}}
	users, err := cache.New(rdb, "quickstart.users", cache.Aside[user]())
	check(err)
	defer users.Close()
	check(users.Invalidate(ctx, "42")) // a Redis of yours may remember an earlier run

	find := func(what string) {
		began := time.Now()
		u, err := users.GetOrLoad(ctx, "42", repo.Find)
		check(err)
		fmt.Printf("%-42s %-6s %8s\n", what, u.Name, time.Since(began).Round(10*time.Microsecond))
	}
	find("first call: a miss, the repository answers")
	find("second call: a hit, Redis answers")

	repo.Rename("42", "Ada")
	check(users.Invalidate(ctx, "42"))
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() { _, err := users.GetOrLoad(ctx, "42", repo.Find); check(err) })
	}
	callers.Wait()
	find("renamed, invalidated, 100 callers at once:")

	s := users.Stats()
	fmt.Printf("\n%d look-ups: %d hits, %d misses; %d of them shared another caller's load.\nThe repository was called %d times.\n",
		s.Hits+s.Misses, s.Hits, s.Misses, s.Coalesced, s.Loads)
}
