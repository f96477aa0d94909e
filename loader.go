package cache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/larder-go/cache/internal/load"
)

// Loader fetches the value of key from the system of record. It returns
// [ErrNotFound] (or what [WithNotFound] accepts) if there is none.
//
// It must read the primary, or a replica known to have caught up, and take its
// snapshot after it was called: never inside an older transaction. Its context
// carries the values of the call that caused the load, and ends with the load
// timeout, with Close, or when nobody waits any more (but see [Cache.GetOrLoad]). It is
// called without any lock held, on a goroutine of its own.
//
// With its context it may ask this cache for other keys: it must not wait, directly or
// through other loaders, for the key that it is to load, which is refused at once where
// the calls show it, and ends with the load timeout where two callers began at both ends.
type Loader[T any] func(ctx context.Context, key string) (T, error)

// BatchLoader fetches the values of several keys, at most 200 in one call. A key
// left out of the map is [ErrNotFound]; with an error it has that error instead,
// and what is in the map is stored. What is said of a [Loader] holds for it too.
type BatchLoader[T any] func(ctx context.Context, keys []string) (map[string]T, error)

// loader is a Loader or a BatchLoader. fetch tells found what became of each of keys,
// by its index, on its own goroutine: that calls user code, too. What found is not told
// of was ended by Goexit.
type loader[T any] interface {
	fetch(ctx context.Context, keys []string, spare load.Spare, found func(i int, v T, err error))
}

// fetch calls the loader for each key, several at once where there are places for that.
func (l Loader[T]) fetch(ctx context.Context, keys []string, spare load.Spare, found func(i int, v T, err error)) {
	if len(keys) == 1 {
		v, err := l(ctx, keys[0])
		found(0, v, err)
		return
	}
	all := make([]struct {
		v        T
		err      error
		returned bool
	}, len(keys))
	call := func(i int) {
		one := &all[i]
		one.err = contain(func() (err error) { one.v, err = l(ctx, keys[i]); return err })
		one.returned = true
	}
	var workers workers
	workers.start(len(keys), call, func() {})
	for range min(manyAtOnce, len(keys)) - 1 {
		leave := spare()
		if leave == nil {
			break
		}
		workers.start(len(keys), call, leave)
	}
	workers.running.Wait()
	for i := range all {
		if all[i].returned {
			found(i, all[i].v, all[i].err)
		}
	}
}

// workers do the parts of one piece of work, each at one part at a time.
type workers struct {
	next    atomic.Int64
	running sync.WaitGroup
}

// start begins a worker, which does parts of n until none is left, and then calls leave.
// Should a part end its goroutine, another one goes on with the next.
func (w *workers) start(n int, do func(i int), leave func()) {
	w.running.Go(func() {
		over := false
		defer func() {
			if over {
				leave()
			} else {
				w.start(n, do, leave)
			}
		}()
		for i := int(w.next.Add(1)) - 1; i < n; i = int(w.next.Add(1)) - 1 {
			do(i)
		}
		over = true
	})
}

func (l BatchLoader[T]) fetch(ctx context.Context, keys []string, _ load.Spare, found func(i int, v T, err error)) {
	values, err := l(ctx, slices.Clone(keys)) // the loader may do with its keys what it likes
	if err == nil {
		err = ErrNotFound
	}
	for i, key := range keys {
		if v, ok := values[key]; ok {
			found(i, v, nil)
		} else {
			found(i, v, err)
		}
	}
}

// WithLoadLimit bounds the loads of this cache in this process that run
// without a lease, which are all its loads while Redis is unavailable. The default is
// 64; n must be at least 1. Set it to what the database can bear, divided by the number
// of processes.
//
// It also is where a refill begins: after Redis was flushed, replaced or unavailable,
// and after InvalidateAll, at most n loads run at once in the first second, with a lease
// or without, twice as many in the next, and so on; after six seconds those with a lease
// are as many as keys again, whatever is asked of the cache. Not counted are, for a
// second at most, loads that begin before a flush is noticed.
//
// A load that finds no place within 50 ms, or one with a lease within a second while the
// cache refills, fails with [ErrOverloaded], unless a stale value may be served. A load
// that is made by the loader of another one of the same cache needs no place.
func WithLoadLimit(n int) Option {
	return optionFunc(func(c *config) {
		if n < 1 {
			c.refuse("WithLoadLimit", fmt.Sprintf("%d is below 1", n))
			return
		}
		c.loadLimit = n
	})
}

// WithMaxLoads bounds all loads of this cache that run at once in this process, with a
// lease or without: without it a scan of keys that are not cached makes as many as it
// asks for at once. 0, the default, is no bound; below 0 is refused. A load that
// finds no place within 50 ms fails as under [WithLoadLimit]; keys that are cached are
// served. A call of a [BatchLoader] counts as one.
func WithMaxLoads(n int) Option {
	return optionFunc(func(c *config) {
		if n < 0 {
			c.refuse("WithMaxLoads", fmt.Sprintf("%d is below 0", n))
			return
		}
		c.maxLoads = n
	})
}

// loads are what the flights of the cache keep to.
func (c *Cache[T]) loads() load.Settings {
	s := load.Settings{
		Timeout: c.config.loadTimeout, Wait: c.config.lockWait(),
		Places:  load.NewPlaces(c.config.loadLimit, c.config.maxLoads, c.tel.refills),
		Refresh: load.NewSlots(c.config.loadLimit),
		Problem: loadProblem, Hangs: c.tel.loaderHangs,
	}
	if c.config.lock.Off {
		s.Wait = 0
	}
	return s
}

// loadProblem is what callers get about key for an error of internal/load.
func loadProblem(key string, err error) error {
	if errors.Is(err, load.ErrGoexit) {
		return &PanicError{Value: errGoexit, Stack: debug.Stack()}
	}
	return &OpError{Op: "load", Key: key, Err: err}
}

// valueOf is a value that was loaded, or T's zero value where there is none: flights do
// not know their cache's type. That it is another type's would be a fault in here.
func valueOf[T any](v any) (t T) {
	if v == nil {
		return t
	}
	t, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("cache: a flight of %v holds a %T", reflect.TypeFor[T](), v))
	}
	return t
}
