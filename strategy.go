package cache

import (
	"context"

	"github.com/larder-go/cache/internal/behind"
)

// Strategy says what a write does to the system of record: [Aside] and its
// siblings. The interface is sealed for now.
type Strategy[T any] interface {
	// problem is why New refuses the strategy; "" if it does not.
	problem() string
	// failClosed: a write that cannot be guarded is refused.
	failClosed() bool
	// count adds what the strategy counts itself.
	count(s *Stats)
	// open begins what the strategy needs beside the cache; it is called once.
	open(c *Cache[T]) error
	// flush, drain and shut are the strategy's part of Flush, Shutdown and Close; dirty is
	// the number of keys that are left so.
	flush(ctx context.Context) (dirty int, err error)
	drain(ctx context.Context) error
	shut(ctx context.Context, left *RemainingError) error
	set(ctx context.Context, c *Cache[T], key string, v T, kept entryPolicy) error
	setMany(ctx context.Context, c *Cache[T], entries map[string]T, kept entryPolicy) error
	remove(ctx context.Context, c *Cache[T], op string, keys []string) error
}

// buffering is a strategy that keeps writes in Redis until they are flushed. It is asked
// for by what it does and not by its type, so that programs without one do not have it
// compiled for each of their types.
type buffering interface {
	// queue is the engine that flushes.
	queue() *behind.Engine
	// translate turns the engine's errors into the cache's.
	translate(ctx context.Context, op, key string, err error) error
	// retire ends write-behind under the cache's name.
	retire(ctx context.Context) error
	// hasSampled reports whether this process has counted what is dirty, within a minute.
	hasSampled() bool
}

// unbuffered is what a strategy that writes at once has to flush.
type unbuffered struct{}

func (unbuffered) count(*Stats) {}

func (unbuffered) flush(context.Context) (int, error) { return 0, nil }

func (unbuffered) drain(context.Context) error { return nil }

func (unbuffered) shut(context.Context, *RemainingError) error { return nil }
