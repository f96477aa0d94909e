package cache_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
)

// tokenKey is where the token of a tag is, of a cache that newCache made.
func tokenKey(t testing.TB, tag string) string {
	t.Helper()
	space, err := keyspace.New("test")
	require.NoError(t, err)
	return space.Tag(tag)
}

// clearTokenKey is where the clear token is.
const clearTokenKey = "test!c"

// tap is a hook of a client: it sees what is sent, one command or a pipeline, and
// may hold it or fail it.
type tap struct {
	mu     sync.Mutex // protects following
	before func(cmds []redis.Cmder) error
	after  func(cmds []redis.Cmder)
}

func newTap(rdb redis.UniversalClient) *tap {
	p := &tap{}
	rdb.AddHook(p)
	return p
}

// set says what to do before and after each sending; nil: nothing.
func (p *tap) set(before func([]redis.Cmder) error, after func([]redis.Cmder)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.after = before, after
}

func (p *tap) around(cmds []redis.Cmder, send func() error) error {
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

func (p *tap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return p.around([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (p *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
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

// mentions reports whether one of cmds has name, and key among its arguments.
func mentions(cmds []redis.Cmder, name, key string) bool {
	for _, cmd := range cmds {
		if !strings.EqualFold(cmd.Name(), name) {
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

// failMints makes the mints of the token under key fail as if there were no Redis.
func (p *tap) failMints(key string) {
	p.set(func(cmds []redis.Cmder) error {
		if mentions(cmds, "evalsha", key) || mentions(cmds, "eval", key) {
			return redis.ErrPoolTimeout
		}
		return nil
	}, nil)
}

// holdAfter holds the first answer to a command of this name on key, while the
// mints of others go on: reached is closed when the answer is there.
type heldAnswer struct {
	reached, release chan struct{}
	once             sync.Once
}

func holdAnswer(p *tap, name, key string, before func([]redis.Cmder) error) *heldAnswer {
	h := &heldAnswer{reached: make(chan struct{}), release: make(chan struct{})}
	p.set(before, func(cmds []redis.Cmder) {
		if !mentions(cmds, name, key) {
			return
		}
		first := false
		h.once.Do(func() { first = true })
		if first {
			close(h.reached)
			<-h.release
		}
	})
	return h
}

// anotherClient is a client like that of a test's Redis, for a process of its own.
func anotherClient(t testing.TB, rdb redis.UniversalClient) *redis.Client {
	t.Helper()
	addr := rdb.(interface{ Options() *redis.Options }).Options().Addr
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// grow lets an entry grow old until left of its
// soft life is left: its load began earlier, and Redis keeps it for so much less.
func grow(t *testing.T, rdb redis.UniversalClient, key string, left time.Duration) {
	t.Helper()
	ctx := t.Context()
	header, body, err := envelope.Decode([]byte(rdb.Get(ctx, key).Val()), key)
	require.NoError(t, err)
	now := rdb.Time(ctx).Val()
	body.LoadedAt = now.Add(left - body.Soft).UnixMilli()
	record, crcAt, err := envelope.AppendBody(envelope.AppendHeader(nil, header), &body)
	require.NoError(t, err)
	envelope.Seal(record[envelope.HeaderSize:], crcAt, key, header.SealedVersion())
	require.NoError(t, rdb.Set(ctx, key, record, left+body.Grace).Err())
}
