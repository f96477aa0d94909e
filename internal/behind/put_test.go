package behind_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
)

func TestBackpressureRefuses(t *testing.T) {
	o := quick(open(t, miniClient(t)), nil)
	o.Partitions, o.PartitionOf = partitions(1), hashed(1)
	o.MaxDirty, o.Refuse = 3, true
	e := start(t, o)
	for i := range 3 {
		put(t, e, strconv.Itoa(i), "x")
	}
	_, err := e.Put(t.Context(), "one too many", body(t, e, "one too many", "x"))
	assert.ErrorIs(t, err, behind.ErrBackpressure)
	put(t, e, "1", "dirty already")
}

func TestBackpressureWaitsForRoom(t *testing.T) {
	db := newTable()
	o := quick(open(t, miniClient(t)), nil)
	o.Partitions, o.PartitionOf = partitions(1), hashed(1)
	o.MaxDirty = 3
	e := start(t, o)
	for i := range 3 {
		put(t, e, strconv.Itoa(i), "x")
	}
	// A context that ends while a put is under way, and not between two, is another
	// matter: with more time that is less likely.
	var err error
	for _, d := range []time.Duration{50 * time.Millisecond, time.Second, 10 * time.Second} {
		if _, err = e.Put(within(t, d), "k", body(t, e, "k", "x")); errors.Is(err, behind.ErrBackpressure) {
			break
		}
	}
	assert.ErrorIs(t, err, behind.ErrBackpressure)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	waiting := make(chan error, 1)
	b := body(t, e, "k", "x")
	go func() {
		_, err := e.Put(t.Context(), "k", b)
		waiting <- err
	}()
	o.Sink = db.write
	worker := start(t, o)
	require.NoError(t, <-waiting)
	require.NoError(t, worker.Flush(within(t, patience)))
	assert.Equal(t, 4, db.len())
}

func TestPutThatWaitsForRoomEndsWithTheEngine(t *testing.T) {
	o := quick(open(t, miniClient(t)), nil)
	o.Partitions, o.PartitionOf, o.MaxDirty = partitions(1), hashed(1), 1
	e := start(t, o)
	put(t, e, "a", "x")
	waiting := make(chan error, 1)
	b := body(t, e, "k", "x")
	go func() {
		_, err := e.Put(t.Context(), "k", b)
		waiting <- err
	}()
	require.NoError(t, e.Drain(t.Context()))
	assert.ErrorIs(t, <-waiting, behind.ErrClosed)
}

// W23: it asks for room, and sends the value when there is some.
func TestAPutThatWaitsForRoomDoesNotSendItsValueAgain(t *testing.T) {
	c := miniClient(t)
	o := quick(open(t, c), nil)
	o.Partitions, o.PartitionOf, o.MaxDirty = partitions(1), hashed(1), 1
	e := start(t, o)
	put(t, e, "a", "x")
	sent := &scripts{}
	c.AddHook(sent)
	value := body(t, e, "k", "x")
	for _, d := range []time.Duration{time.Second, 10 * time.Second} { // a look that is under way when the time is over is another matter
		sent.n.Store(0)
		if _, err := e.Put(within(t, d), "k", value); errors.Is(err, behind.ErrBackpressure) {
			break
		}
	}
	assert.LessOrEqual(t, sent.n.Load(), int64(2), "the put, and once more in full where the server does not know it")
	assert.Greater(t, sent.looks.Load(), int64(3))
}

// scripts counts those that are sent, and the looks beside them.
type scripts struct {
	slowLink
	n, looks atomic.Int64
}

func (s *scripts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			s.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (s *scripts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.looks.Add(1)
		return next(ctx, cmds)
	}
}

// moving is a partition of which some keys have arrived on another node, and some not.
type moving struct {
	slowLink
	left atomic.Int64
}

type tryAgain struct{}

func (tryAgain) Error() string { return "TRYAGAIN Multiple keys request during rehashing of slot" }
func (tryAgain) RedisError()   {}

func (m *moving) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") && m.left.Add(-1) >= 0 {
			cmd.SetErr(tryAgain{})
			return tryAgain{}
		}
		return next(ctx, cmd)
	}
}

// W26: nothing was done, and nobody is to blame.
func TestAPutWaitsForAPartitionThatMoves(t *testing.T) {
	c := miniClient(t)
	s := open(t, c)
	e := start(t, quick(s, nil))
	put(t, e, "k", "x")
	m := &moving{}
	m.left.Store(20)
	c.AddHook(m)
	put(t, e, "k", "y")
	assert.False(t, s.Open(), "the breaker")
	m.left.Store(1_000)
	_, err := e.Put(t.Context(), "k", body(t, e, "k", "z"))
	assert.ErrorContains(t, err, "TRYAGAIN")
	assert.False(t, s.Open(), "the breaker")
}
