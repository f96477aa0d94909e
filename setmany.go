package cache

import (
	"context"
	"maps"
	"slices"
)

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
