package protocol_test

import (
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/testkit"
)

// holdAfter holds the first answer to a command of this name on key, while the
// mints of others go on: reached is closed when the answer is there.
type heldAnswer struct {
	reached, release chan struct{}
	once             sync.Once
}

func holdAnswer(p *testkit.Tap, name, key string, before func([]redis.Cmder) error) *heldAnswer {
	h := &heldAnswer{reached: make(chan struct{}), release: make(chan struct{})}
	p.Set(before, func(cmds []redis.Cmder) {
		if !testkit.Mentions(cmds, name, key) {
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
