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

// reading is what a meter says.
type reading struct{ Celsius float64 }

// readingTable stands for a slow database. An older version never replaces a
// newer one, as with UPDATE … WHERE version < ?.
type readingTable map[string]cache.Mutation[reading]

func (t readingTable) Write(_ context.Context, batch []cache.Mutation[reading]) error {
	for _, m := range batch {
		if t[m.Key].Version < m.Version {
			t[m.Key] = m
		}
	}
	return nil
}

// Set writes to Redis alone; the database gets the latest value of each key a
// little later. On SIGTERM what is left is brought there.
func ExampleWriteBehind() {
	process, terminate := context.WithCancel(context.Background())
	ctx, stop := signal.NotifyContext(process, syscall.SIGTERM)
	defer stop()
	rdb := embeddedRedis() // in a service: its own, with appendonly yes, maxmemory-policy noeviction
	defer rdb.Close()      // last: the cache never closes the client
	table := readingTable{}
	readings := must(cache.New(rdb, "readings", cache.WriteBehind(table.Write, cache.WriteBehindOptions{
		Interval:       time.Hour, // Shutdown does not wait for it
		AcceptVolatile: "the example's Redis is gone with the example",
	})))

	for _, celsius := range []float64{20.5, 20.7, 21} {
		fmt.Println(readings.Set(ctx, "attic", reading{celsius}))
	}
	fmt.Println(must(readings.Get(ctx, "attic")).Celsius)

	terminate() // here in place of the signal
	<-ctx.Done()
	// server.Shutdown(…) comes here: no handler uses the cache any more.

	// ctx is over, so the grace period is a context of its own.
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := readings.Shutdown(grace)
	var left *cache.RemainingError
	if errors.As(err, &left) {
		fmt.Println(left.Dirty, "readings stay in Redis, for the other processes")
	}
	fmt.Println("shutdown:", err)
	fmt.Println("in the database:", table["attic"].Value.Celsius)
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// 21
	// shutdown: <nil>
	// in the database: 21
}

// What the database refuses for good is kept, with the reason, until somebody
// looks at it. That no other try can help is said by the error: any other one is tried
// again.
func ExampleCache_DeadLetters() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	limit := 50.0
	table := readingTable{}
	write := func(ctx context.Context, batch []cache.Mutation[reading]) error {
		for _, m := range batch {
			if m.Value.Celsius > limit {
				return &cache.PermanentError{Err: errors.New("violates a check constraint")}
			}
		}
		return table.Write(ctx, batch)
	}
	readings := must(cache.New(rdb, "readings", cache.WriteBehind(write, cache.WriteBehindOptions{
		AcceptVolatile: "the example's Redis is gone with the example",
	})))
	defer readings.Close()

	fmt.Println(readings.Set(ctx, "kiln", reading{900}))
	fmt.Println(readings.Flush(ctx))
	limit = 2000 // the constraint is mended
	for letter, err := range readings.DeadLetters(ctx) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %s: %s\n", letter.Key, letter.Data, letter.Reason)
		fmt.Println(readings.RetryDeadLetter(ctx, letter.ID))
	}
	fmt.Println(readings.Flush(ctx), table["kiln"].Value.Celsius)
	// Output:
	// <nil>
	// <nil>
	// kiln {"Celsius":900}: violates a check constraint
	// <nil>
	// <nil> 900
}

// One mend for many: all letters of one reason are tried again.
func ExampleCache_RetryDeadLetters() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	readings := must(cache.New(rdb, "readings", cache.WriteBehind(refuseHot, cache.WriteBehindOptions{
		AcceptVolatile: "the example's Redis is gone with the example",
	})))
	defer readings.Close()
	fmt.Println(readings.SetMany(ctx, map[string]reading{"attic": {20}, "kiln": {900}, "oven": {220}}))
	fmt.Println(readings.Flush(ctx))

	hot := func(l cache.DeadLetter) bool { return l.Reason == "violates a check constraint" }
	fmt.Println(readings.RetryDeadLetters(ctx, hot))
	fmt.Println(readings.Flush(ctx))
	fmt.Println(readings.DropDeadLetters(ctx, hot)) // it was not mended after all
	// Output:
	// <nil>
	// <nil>
	// 2 <nil>
	// <nil>
	// 2 <nil>
}

// refuseHot is a sink that knows which values of a batch it has not written.
func refuseHot(_ context.Context, batch []cache.Mutation[reading]) error {
	failed := cache.BatchError{}
	for _, m := range batch {
		if m.Value.Celsius > 50 {
			failed[m.Key] = &cache.PermanentError{Err: errors.New("violates a check constraint")}
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return failed
}

// A sink that compares versions may say where it had a newer one: after Redis has come
// back as it was some time before, the cached value is the old one.
func ExampleBatchError() {
	table := readingTable{"attic": {Key: "attic", Value: reading{21}, Version: 2}}
	write := func(ctx context.Context, batch []cache.Mutation[reading]) error {
		newer := cache.BatchError{}
		for _, m := range batch {
			if table[m.Key].Version > m.Version {
				newer[m.Key] = cache.ErrHadNewer
			}
		}
		if err := table.Write(ctx, batch); err != nil || len(newer) == 0 {
			return err
		}
		return newer
	}
	err := write(context.Background(), []cache.Mutation[reading]{
		{Key: "attic", Value: reading{20}, Version: 1}, {Key: "cellar", Value: reading{12}, Version: 3},
	})
	fmt.Println(err)
	fmt.Println(table["attic"].Value.Celsius, table["cellar"].Value.Celsius)
	// Output:
	// cache: the system of record has a newer version
	// 21 12
}

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
