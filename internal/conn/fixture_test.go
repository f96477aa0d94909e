package conn_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

// patience bounds what must happen at all.
const patience = time.Minute

// open returns a Client on r that is closed, without anything left, with the test.
// Its budgets are none that a busy machine could make run out.
func open(t testing.TB, r redis.UniversalClient) *conn.Client {
	t.Helper()
	return openWith(t, r, conn.Options{ReadBudget: patience, ScriptBudget: patience})
}

// openWith is open with options of the test's.
func openWith(t testing.TB, r redis.UniversalClient, o conn.Options) *conn.Client {
	t.Helper()
	c := conn.New(r, o)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// through returns a Client whose traffic goes through a proxy in front of a
// miniredis, and a client beside the proxy.
func through(t *testing.T) (*conn.Client, *redistest.Proxy, *redis.Client) {
	t.Helper()
	p, front, beside := redistest.Through(t, redistest.Mini(t))
	return open(t, front), p, beside
}

// read reads one key, with others if they are on their way.
func read(ctx context.Context, c *conn.Client, key string) (conn.Value, error) {
	v := c.Read(ctx, []string{key}, nil)[0]
	return v, v.Err
}

// readAll reads keys in one exchange of their own.
func readAll(ctx context.Context, c *conn.Client, keys ...string) ([]conn.Value, error) {
	values := c.Read(ctx, nil, keys)
	return values, errors.Join(errorsOf(values)...)
}

func errorsOf(values []conn.Value) []error {
	errs := make([]error, len(values))
	for i, v := range values {
		errs[i] = v.Err
	}
	return errs
}

var (
	// putScript stores a value, as a late copy of must not.
	putScript = conn.NewKeyScript("put", "", "local function one(k,a) redis.call('SET',k,ARGV[a+1]) return 1 end\n", conn.Quick{}).SentOnce()
	// delScript removes a key, and says whether it was there.
	delScript = conn.NewKeyScript("del", "", "local function one(k) return redis.call('DEL',k) end\n", conn.Quick{})
)

// put sends putScript.
func put(ctx context.Context, c *conn.Client, key string, body []byte) error {
	return putAll(ctx, c, body, key)[0]
}

// putAll is put for several keys.
func putAll(ctx context.Context, c *conn.Client, body []byte, keys ...string) []error {
	o := conn.NewOps("put", len(keys))
	for _, key := range keys {
		o.Add(putScript.On(key, body))
	}
	c.Do(ctx, o)
	_, errs := repliesOf(o, len(keys))
	return errs
}

// del sends delScript.
func del(ctx context.Context, c *conn.Client, keys ...string) ([]any, []error) {
	o := conn.NewOps("del", len(keys))
	for _, key := range keys {
		o.Add(delScript.On(key))
	}
	c.Do(ctx, o)
	return repliesOf(o, len(keys))
}

func repliesOf(o *conn.Ops, n int) ([]any, []error) {
	replies, errs := make([]any, n), make([]error, n)
	for i := range n {
		replies[i], errs[i] = o.Reply(i)
	}
	return replies, errs
}

// answers waits until run succeeds: a new connection and its first command may take
// longer than a budget on a busy machine.
func answers(t *testing.T, run func() error) {
	t.Helper()
	assert.Eventually(t, func() bool { return run() == nil }, patience, time.Millisecond)
}
