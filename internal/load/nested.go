package load

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
)

// nest is the context of a loader: the one that it would have, which also knows what
// is loaded. By it a call that the loader makes is known.
type nest struct {
	context.Context
	parent *nest // the load whose loader caused this one; nil: none
	group  *Group
	keys   []string
	over   atomic.Bool // the loader has returned: who still has its context is not waited for
}

type nestKey struct{}

// nestIn is the innermost load whose loader has made the call that has ctx; nil if
// there is none.
func nestIn(ctx context.Context) *nest {
	n, _ := ctx.Value(nestKey{}).(*nest)
	return n
}

// Nested reports whether a loader, of whatever cache, makes the call that has ctx.
func Nested(ctx context.Context) bool { return nestIn(ctx) != nil }

// Outside is ctx for work that no loader waits for.
func Outside(ctx context.Context) context.Context {
	if nestIn(ctx) == nil {
		return ctx
	}
	return &nest{Context: ctx}
}

// Value is the context's, and the load itself for nestIn.
func (n *nest) Value(key any) any {
	if _, ok := key.(nestKey); ok {
		return n
	}
	return n.Context.Value(key)
}

// of reports whether one of the loads that run is g's.
func (n *nest) of(g *Group) bool {
	for ; n != nil; n = n.parent {
		if n.group == g && !n.over.Load() {
			return true
		}
	}
	return false
}

// waitsFor reports whether the loads that run cannot end before key of g has been loaded.
// In a batch the loader of one key may ask for another one of the batch, which is then
// loaded once more; a key that comes in two of the loads comes again and again.
func (n *nest) waitsFor(g *Group, key string) bool {
	batches := 0
	for ; n != nil; n = n.parent {
		switch {
		case n.group != g || n.over.Load() || !slices.Contains(n.keys, key):
		case len(n.keys) == 1 || batches > 0:
			return true
		default:
			batches++
		}
	}
	return false
}

var errCycle = errors.New("the loader asks for the key that it is to load, directly or through other loaders: it would wait for itself")

// CheckCycle refuses a call of a loader that would wait for its own load. Without it
// both would wait for the load timeout.
func (g *Group) CheckCycle(ctx context.Context, key string) error {
	if nestIn(ctx).waitsFor(g, key) {
		return errCycle
	}
	return nil
}
