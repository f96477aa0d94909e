package cache

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
)

// loading is the context of a loader: the one that it would have, which also knows
// what is loaded. By it a call that the loader makes is known.
type loading struct {
	context.Context
	parent *loading // the load whose loader caused this one; nil: none
	cache  any
	keys   []string
	over   atomic.Bool // the loader has returned: who still has its context is not waited for
}

type loadingKey struct{}

// loadingFor is the context for a loader of keys of c. returned is to be called when
// that has returned.
func loadingFor(ctx context.Context, c any, keys ...string) *loading {
	return &loading{Context: ctx, parent: loadingIn(ctx), cache: c, keys: keys}
}

func (l *loading) returned() { l.over.Store(true) }

// outsideLoads is ctx for work that no loader waits for.
func outsideLoads(ctx context.Context) context.Context {
	if loadingIn(ctx) == nil {
		return ctx
	}
	return &loading{Context: ctx}
}

// loadingIn is the innermost load whose loader has made the call that has ctx; nil if
// there is none.
func loadingIn(ctx context.Context) *loading {
	l, _ := ctx.Value(loadingKey{}).(*loading)
	return l
}

// Value is the context's, and the load itself for loadingIn.
func (l *loading) Value(key any) any {
	if _, ok := key.(loadingKey); ok {
		return l
	}
	return l.Context.Value(key)
}

// of reports whether one of the loads that run is c's.
func (l *loading) of(c any) bool {
	for ; l != nil; l = l.parent {
		if l.cache == c && !l.over.Load() {
			return true
		}
	}
	return false
}

// waitsFor reports whether the loads that run cannot end before key of c has been loaded.
// In a batch the loader of one key may ask for another one of the batch, which is then
// loaded once more; a key that comes in two of the loads comes again and again.
func (l *loading) waitsFor(c any, key string) bool {
	batches := 0
	for ; l != nil; l = l.parent {
		switch {
		case l.cache != c || l.over.Load() || !slices.Contains(l.keys, key):
		case len(l.keys) == 1 || batches > 0:
			return true
		default:
			batches++
		}
	}
	return false
}

// errCycle is the error of a call that would wait for itself.
var errCycle = errors.New("the loader asks for the key that it is to load, directly or through other loaders: it would wait for itself")

// checkCycle refuses a call of a loader that would wait for its own load. Without it
// both would wait for the load timeout.
func (c *Cache[T]) checkCycle(ctx context.Context, key string) error {
	if loadingIn(ctx).waitsFor(c, key) {
		return &OpError{Op: "get", Key: key, Err: errCycle}
	}
	return nil
}
