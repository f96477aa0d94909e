package testkit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/keyspace"
)

// Queued asserts that err says that an invalidation is queued.
func Queued(t *testing.T, err error, op string) {
	t.Helper()
	var opErr *cache.OpError
	require.ErrorAs(t, err, &opErr)
	assert.Equal(t, op, opErr.Op)
	assert.ErrorIs(t, err, cache.ErrPending)
}

// TwoFilled is a cache, and another process whose lease of the clear token is new: both
// have served the entry.
func TwoFilled(t *testing.T, rdb redis.UniversalClient, opts ...cache.Option) (c, other *cache.Cache[int]) {
	t.Helper()
	c, other = NewCache[int](t, rdb, opts...), NewCache[int](t, rdb)
	for _, each := range []*cache.Cache[int]{c, other} {
		v, err := each.GetOrLoad(t.Context(), "k", Value(1))
		require.NoError(t, err)
		require.Equal(t, 1, v)
	}
	time.Sleep(time.Millisecond) // tokens of one microsecond have no order
	return c, other
}

// Missing asserts that c has nothing of "k".
func Missing[T any](t *testing.T, c *cache.Cache[T], why ...any) {
	t.Helper()
	_, err := c.Get(t.Context(), "k")
	assert.ErrorIs(t, err, cache.ErrMiss, why...)
}

// TokenKey is where the token of a tag is, of a cache that newCache made.
func TokenKey(t testing.TB, tag string) string {
	t.Helper()
	space, err := keyspace.New("test")
	require.NoError(t, err)
	return space.Tag(tag)
}

// ClearTokenKey is where the clear token is.
const ClearTokenKey = "test!c"

// Tap is a hook of a client: it sees what is sent, one command or a pipeline, and
// may hold it or fail it.
type Tap struct {
	mu     sync.Mutex // protects following
	before func(cmds []redis.Cmder) error
	after  func(cmds []redis.Cmder)
}

// NewTap is a tap on rdb that does nothing yet.
func NewTap(rdb redis.UniversalClient) *Tap {
	p := &Tap{}
	rdb.AddHook(p)
	return p
}

// Set says what to do before and after each sending; nil: nothing.
func (p *Tap) Set(before func([]redis.Cmder) error, after func([]redis.Cmder)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.after = before, after
}

func (p *Tap) around(cmds []redis.Cmder, send func() error) error {
	if cmds[0].Name() == "hello" { // a connection that opens, within a command
		return send()
	}
	p.mu.Lock()
	before, after := p.before, p.after
	p.mu.Unlock()
	if before != nil {
		if err := before(cmds); err != nil {
			return err
		}
	}
	err := send()
	if after != nil {
		after(cmds)
	}
	return err
}

func (p *Tap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p *Tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return p.around([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (p *Tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := p.around(cmds, func() error { return next(ctx, cmds) })
		for _, cmd := range cmds {
			if err != nil && cmd.Err() == nil {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// Mentions reports whether one of cmds has name, and key among its arguments.
func Mentions(cmds []redis.Cmder, name, key string) bool {
	for _, cmd := range cmds {
		if !strings.EqualFold(cmd.Name(), name) && (name != "get" || cmd.Name() != "mget") {
			continue
		}
		for _, arg := range cmd.Args()[1:] {
			if arg == key {
				return true
			}
		}
	}
	return false
}

// FailMints makes the mints of the token under key fail as if there were no Redis.
func (p *Tap) FailMints(key string) {
	p.Set(func(cmds []redis.Cmder) error {
		if Mentions(cmds, "evalsha", key) || Mentions(cmds, "eval", key) {
			return redis.ErrPoolTimeout
		}
		return nil
	}, nil)
}

// sharedTag is the tag of a row: each belongs to two of them.
func sharedTag(row string) string {
	i, _ := strconv.Atoi(row)
	return "tag " + strconv.Itoa(i%2)
}

// tagged is a process whose writers know the tag of what they change, and not its
// keys. Half of its readers leave the tags to the entry.
func (h *History) tagged(c *cache.Cache[int64]) *Subject {
	var n atomic.Int64
	return &Subject{
		Ask: func(ctx context.Context, key string) (int64, error) {
			if n.Add(1)%2 == 0 {
				return c.GetOrLoad(ctx, key, h.load, cache.Tagged(sharedTag(key)))
			}
			return c.GetOrLoad(ctx, key, h.load, cache.Tagged(sharedTag(key), "all rows"))
		},
		Put: func(ctx context.Context, key string, write func()) error {
			write()
			return c.InvalidateTags(ctx, sharedTag(key))
		},
	}
}

// naiveTags is the control: the same with naiveTagged.
func (h *History) naiveTags(rdb redis.UniversalClient) *Subject {
	n := NaiveTagged{rdb}
	return &Subject{
		Ask: func(ctx context.Context, key string) (int64, error) {
			return n.Ask(ctx, key, sharedTag(key), func(ctx context.Context) (int64, error) { return h.load(ctx, key) })
		},
		Put: func(ctx context.Context, key string, write func()) error {
			write()
			return n.Invalidate(ctx, sharedTag(key))
		},
	}
}

// clearAll changes all rows and invalidates everything, until ctx ends. The rows
// have other writers meanwhile: InvalidateAll takes a second.
func (h *History) clearAll(ctx context.Context, c *cache.Cache[int64]) (times int) {
	for ctx.Err() == nil {
		var wrote [HistoryRows]int64
		for i := range h.rows {
			row := &h.rows[i]
			row.mu.Lock()
			wrote[i] = row.version.Add(1)
			row.mu.Unlock()
		}
		if err := c.InvalidateAll(context.WithoutCancel(ctx)); err != nil {
			h.fail(err)
			return times
		}
		times++
		for i, v := range wrote {
			h.rows[i].mu.Lock()
			Raise(&h.rows[i].floor, v)
			h.rows[i].mu.Unlock()
		}
	}
	return times
}

// evict deletes tokens now and then, as a Redis without memory would.
func evictTokens(ctx context.Context, rdb redis.UniversalClient, keys []string) (times int) {
	for ctx.Err() == nil {
		if rdb.Del(context.WithoutCancel(ctx), keys[rand.IntN(len(keys))]).Err() == nil {
			times++
		}
		_ = Pace(ctx, 20*time.Millisecond)
	}
	return times
}

// TaggedHistory runs two processes, one that clears everything, and losses of tokens.
func TaggedHistory(t *testing.T, connect func() redis.UniversalClient, length time.Duration) {
	var h History
	a, b := NewCache[int64](t, connect()), NewCache[int64](t, connect())
	rdb := connect()
	keys := slices.Repeat([]string{TokenKey(t, "tag 0"), TokenKey(t, "tag 1"), TokenKey(t, "all rows")}, 10)
	keys = append(keys, ClearTokenKey) // seldom: it makes InvalidateAll begin again
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var cleared, evicted int
	var others sync.WaitGroup
	others.Go(func() { cleared = h.clearAll(ctx, NewCache[int64](t, rdb)) })
	others.Go(func() { evicted = evictTokens(ctx, rdb, keys) })
	h.Run(ctx, length, h.tagged(a), h.tagged(b))
	others.Wait()
	h.Log(t, "tags")
	t.Logf("%d times everything was invalidated, %d tokens deleted, %d fills refused", cleared, evicted,
		a.Stats().RefusedFills+b.Stats().RefusedFills)
	require.NoError(t, h.FirstFailure())
	assert.Zero(t, h.Stale.Load(), "violations")
	assert.Positive(t, cleared)
	assert.Positive(t, evicted)
	assert.Positive(t, h.Writes.Load())
	assert.Positive(t, a.Stats().Hits+b.Stats().Hits, "entries were served")

	var control History
	control.Control(t, control.naiveTags(rdb), control.naiveTags(rdb))
}

// Drained waits until the queue of c is empty.
func Drained[T any](t *testing.T, c *cache.Cache[T]) {
	t.Helper()
	require.Eventually(t, func() bool { return c.Stats().Pending == 0 }, 10*time.Second, time.Millisecond)
}

// Revision is a value and its own version, which the change does not touch: what
// it depends on has changed, not its row.
type Revision struct {
	V       int64
	Version uint64
}

func (r Revision) CacheVersion() uint64 { return r.Version }

// ErrFlaky is how a loader fails.
var ErrFlaky = errors.New("the database is down")

// NaiveTagged keeps, with each value, the token that its tag had when the value was
// stored: too late.
type NaiveTagged struct{ Rdb redis.UniversalClient }

func (n NaiveTagged) Ask(ctx context.Context, key, tag string, load func(context.Context) (int64, error)) (int64, error) {
	token, err := n.token(ctx, tag)
	if err != nil {
		return 0, err
	}
	var v, with int64
	text, err := n.Rdb.Get(ctx, "naive, tagged:"+key).Result()
	if err == nil {
		if _, err := fmt.Sscan(text, &v, &with); err != nil || with == token {
			return v, err
		}
	} else if !errors.Is(err, redis.Nil) {
		return 0, err
	}
	if v, err = load(ctx); err != nil {
		return 0, err
	}
	if with, err = n.token(ctx, tag); err != nil {
		return 0, err
	}
	return v, n.Rdb.Set(ctx, "naive, tagged:"+key, fmt.Sprint(v, with), time.Minute).Err()
}

func (n NaiveTagged) token(ctx context.Context, tag string) (int64, error) {
	token, err := n.Rdb.Get(ctx, "naive-tag:"+tag).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return token, err
}

func (n NaiveTagged) Invalidate(ctx context.Context, tag string) error {
	return n.Rdb.Incr(ctx, "naive-tag:"+tag).Err()
}

// TagsOf are n tags, no two the same.
func TagsOf(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(prefix, i)
	}
	return all
}
