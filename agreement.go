package cache

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
)

// Caches of one name must agree on where the entries live: write-behind keeps
// them in partitions, the other strategies by key. A write-behind cache says so
// in a meta record; the others look for one once, with their first read.

const metaFormat = "K1 writebehind "

// metaOf is the meta record of a write-behind cache.
func metaOf(partitions int) string { return fmt.Sprintf("%s%d", metaFormat, partitions) }

// agreement is what is known of the meta record.
type agreement struct{ state atomic.Pointer[verdictOnMeta] }

// verdictOnMeta is final: a meta record never changes.
type verdictOnMeta struct{ problem error }

// known reports whether the record was read, or need not be.
func (a *agreement) known() bool { return a.state.Load() != nil }

// problem is why calls fail, nil if they need not.
func (a *agreement) problem() error {
	if v := a.state.Load(); v != nil {
		return v.problem
	}
	return nil
}

// settle notes what the meta record said to a cache without write-behind.
func (a *agreement) settle(meta string) {
	v := &verdictOnMeta{}
	if strings.HasPrefix(meta, metaFormat) {
		v.problem = fmt.Errorf("a cache of this name writes behind (%q): its entries are kept elsewhere; use WriteBehind, or another name", meta)
	}
	a.state.CompareAndSwap(nil, v)
}

// agree reads the meta record before a write, if no read has done so yet. A Redis
// that does not answer is no disagreement.
func (c *Cache[T]) agree(ctx context.Context, op, key string) error {
	if !c.meta.known() {
		meta, err := c.store.Meta(ctx, c.space.Meta())
		if err == nil {
			c.meta.settle(meta)
		}
	}
	if err := c.meta.problem(); err != nil {
		return &OpError{Op: op, Key: key, Err: err}
	}
	return nil
}
