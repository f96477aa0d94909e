package testkit

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// Refusal is a client hook that fails the pipelines that refuse fails.
type Refusal struct {
	Refuse func(cmds []redis.Cmder) error
}

func (Refusal) DialHook(next redis.DialHook) redis.DialHook { return next }

func (Refusal) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (r Refusal) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := r.Refuse(cmds)
		if err == nil {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
}

// warehouse is a BatchLoader of numbers that notes what it is asked for. With a
// gate each call says so on entered and waits until it is let go, or its context
// ends.
type warehouse struct {
	mu      sync.Mutex
	asked   [][]string // the keys of each call, sorted
	Ended   atomic.Int64
	Entered chan context.Context
	Release chan struct{}
}

// NewWarehouse answers at once.
func NewWarehouse() *warehouse { return &warehouse{} }

// GatedWarehouse answers when it is let go.
func GatedWarehouse() *warehouse {
	return &warehouse{Entered: make(chan context.Context, 1000), Release: make(chan struct{})}
}

func (w *warehouse) Load(ctx context.Context, keys []string) (map[string]int, error) {
	w.mu.Lock()
	w.asked = append(w.asked, slices.Sorted(slices.Values(keys)))
	w.mu.Unlock()
	defer w.Ended.Add(1)
	if w.Entered != nil {
		w.Entered <- ctx
		select {
		case <-w.Release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	values := map[string]int{}
	for _, key := range keys {
		if n, err := strconv.Atoi(key); err == nil {
			values[key] = n
		}
	}
	return values, ctx.Err()
}

// Calls are the keys of each call so far.
func (w *warehouse) Calls() [][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// Times is how often each key was asked for.
func (w *warehouse) Times() map[string]int {
	all := map[string]int{}
	for _, keys := range w.Calls() {
		for _, key := range keys {
			all[key]++
		}
	}
	return all
}

// LoadMany starts a GetOrLoadMany.
func LoadMany(ctx context.Context, c *cache.Cache[int], w *warehouse, keys ...string) <-chan Result[map[string]int] {
	return Start(func() (map[string]int, error) { return c.GetOrLoadMany(ctx, keys, w.Load) })
}

// Numbered are the values of keys.
func Numbered(keys ...string) map[string]int {
	all := map[string]int{}
	for _, key := range keys {
		all[key], _ = strconv.Atoi(key)
	}
	return all
}

// Numbers are the keys "0" to n-1.
func Numbers(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return keys
}

// Parsing is a BatchLoader that knows every number, and counts its calls and keys.
func Parsing(calls, keys *atomic.Int64) cache.BatchLoader[int] {
	return func(_ context.Context, asked []string) (map[string]int, error) {
		calls.Add(1)
		keys.Add(int64(len(asked)))
		out := map[string]int{}
		for _, key := range asked {
			n, err := strconv.Atoi(key)
			if err == nil {
				out[key] = n
			}
		}
		return out, nil
	}
}

// OpErrors are the *OpErrors joined in err.
func OpErrors(err error) (all []*cache.OpError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			all = append(all, OpErrors(one)...)
		}
		return all
	}
	var own *cache.OpError
	if errors.As(err, &own) {
		all = append(all, own)
	}
	return all
}

// KeysOf are the keys that err names, sorted.
func KeysOf(err error) (keys []string) {
	for _, one := range OpErrors(err) {
		keys = append(keys, one.Key)
	}
	slices.Sort(keys)
	return keys
}
