package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

// reply is an error reply of Redis.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestOnlyWhatSpeaksAgainstRedisIsInfrastructure(t *testing.T) {
	dialTimeout := &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"nothing", nil, false},
		{"a miss", redis.Nil, false},
		{"the caller's cancellation", context.Canceled, false},
		{"the caller's deadline, wrapped", fmt.Errorf("read: %w", context.DeadlineExceeded), false},
		{"a closed store", conn.ErrClosed, false},
		{"an unexpected answer", &conn.AnswerError{Script: "set", Answer: 1}, false},
		{"wrong type", reply("WRONGTYPE Operation against a key"), false},
		{"no script", reply("NOSCRIPT No matching script"), false},
		{"out of memory", reply("OOM command not allowed"), false},
		{"no permission", reply("NOPERM this user has no permissions"), false},
		{"the budget, wrapped", fmt.Errorf("read: %w", conn.ErrBudget), true},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		{"a dial that timed out", dialTimeout, true},
		{"end of file", io.EOF, true},
		{"no connection free", redis.ErrPoolTimeout, true},
		{"a closed client", redis.ErrClosed, true},
		{"loading", reply("LOADING Redis is loading"), true},
		{"cluster down", fmt.Errorf("read: %w", reply("CLUSTERDOWN The cluster is down")), true},
		{"read only", reply("READONLY You can't write"), true},
		{"master down", reply("MASTERDOWN Link with MASTER is down"), true},
		{"keys that are on their way to another node", reply("TRYAGAIN Multiple keys"), false},
		{"too many clients", reply("ERR max number of clients reached"), true},
		{"one of several", errors.Join(redis.Nil, io.EOF), true},
		{"none of several", errors.Join(redis.Nil, context.Canceled), false},
	} {
		assert.Equal(t, c.want, conn.Infrastructure(c.err), c.name)
	}
}

func TestSettingsThatDelayOrVoidPromisesAreWarnedAbout(t *testing.T) {
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadOnly: true})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	w := conn.New(c, conn.Options{}).Warnings()
	require.Len(t, w, 3)
	assert.Contains(t, w[0], "ContextTimeoutEnabled is false")
	assert.Contains(t, w[1], "ClusterStateReloadInterval is 1m0s")
	assert.Contains(t, w[2], "reads from replicas")
}

func TestPeerIsTheConfiguredAddressWhereThereIsOne(t *testing.T) {
	for addr, want := range map[string]struct {
		host string
		port int
	}{
		"127.0.0.1:6390": {"127.0.0.1", 6390},
		"[::1]:6390":     {"::1", 6390},
		"/tmp/redis":     {},
		"host:named":     {},
	} {
		host, port := conn.New(redistest.Dial(t, addr), conn.Options{}).Peer(t.Context(), "k")
		assert.Equal(t, want.host, host, addr)
		assert.Equal(t, want.port, port, addr)
	}
	failover := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{"127.0.0.1:1"}})
	t.Cleanup(func() { require.NoError(t, failover.Close()) })
	host, port := conn.New(failover, conn.Options{}).Peer(t.Context(), "k")
	assert.Empty(t, host)
	assert.Zero(t, port)
	host, port = conn.New(stranger{redistest.Dial(t, "127.0.0.1:1")}, conn.Options{}).Peer(t.Context(), "k")
	assert.Empty(t, host)
	assert.Zero(t, port)
}

func TestCloseSaysWhatItLeavesBehind(t *testing.T) {
	m := redistest.Mini(t)
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	c := redistest.Dial(t, m.Addr())
	c.AddHook(g)
	s := conn.New(c, conn.Options{ScriptBudget: 20 * time.Millisecond})
	require.ErrorIs(t, put(t.Context(), s, "k", nil), conn.ErrBudget)
	require.ErrorContains(t, s.Close(), "close: 1 commands are still held by the client")
	close(g.open)
	require.NoError(t, open(t, c).Close())
	require.Eventually(t, func() bool { return s.Close() == nil }, patience, time.Millisecond)
}
