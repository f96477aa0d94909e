package cache

import (
	"context"
	"errors"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
)

// manyAtOnce bounds how many keys of one call are worked on at the same time,
// where each takes calls of user code.
const manyAtOnce = 8

// SetMany is [Cache.Set] for several keys, in no particular order. The errors are
// those of Set, joined; keys without one were set.
func (c *Cache[T]) SetMany(ctx context.Context, entries map[string]T, opts ...EntryOption) error {
	kept, err := c.kept(opts)
	if err != nil {
		return &OpError{Op: "set", Err: err}
	}
	if err := c.usable(ctx); err != nil {
		return err
	}
	if err := c.agree(ctx, "set", ""); err != nil {
		return err
	}
	return forEach(slices.Sorted(maps.Keys(entries)), func(key string) error {
		return c.strategy.set(ctx, c, key, entries[key], kept)
	})
}

// forEach calls f for each key, several at once, and joins the errors; of one
// key the error stays itself. A call of f that ends by Goexit is an error, too.
func forEach(keys []string, f func(key string) error) error {
	switch len(keys) {
	case 0:
		return nil
	case 1:
		return f(keys[0])
	}
	errs := make([]error, len(keys))
	var calls errgroup.Group
	calls.SetLimit(manyAtOnce)
	for i, key := range keys {
		calls.Go(func() error {
			errs[i] = &PanicError{Value: errGoexit}
			errs[i] = f(key)
			return nil
		})
	}
	_ = calls.Wait() // each error is in errs
	return errors.Join(errs...)
}
