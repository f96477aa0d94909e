package conn_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

func TestWBAllkeysRefused(t *testing.T) {
	cases := map[string]struct {
		options []redistest.Option
		says    string // "": accepted
	}{
		"evicts any key":            {[]redistest.Option{redistest.MaxMemory(0, "allkeys-lru"), redistest.AppendOnly("no")}, "set it to noeviction or volatile-lru"},
		"evicts any key at random":  {[]redistest.Option{redistest.MaxMemory(0, "allkeys-random"), redistest.AppendOnly("no")}, "maxmemory-policy is allkeys-random"},
		"forgets all on a restart":  {nil, "set appendonly yes"},
		"keeps a log":               {[]redistest.Option{redistest.AppendOnly("everysec")}, ""},
		"keeps snapshots alone":     {[]redistest.Option{redistest.Config("save", "3600 1")}, "set appendonly yes"},
		"evicts keys with TTL only": {[]redistest.Option{redistest.MaxMemory(0, "volatile-lru"), redistest.AppendOnly("no")}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := open(t, redistest.Single(t, c.options...).Client(t))
			err := s.CheckDurability(t.Context())
			if c.says == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, conn.ErrVolatile)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

func TestRedisThatDoesNotTellIsRefused(t *testing.T) {
	s := open(t, redistest.Dial(t, redistest.Mini(t).Addr()))
	err := s.CheckDurability(t.Context())
	assert.ErrorIs(t, err, conn.ErrVolatile)
	assert.ErrorContains(t, err, "INFO does not tell")
}

func TestRedisThatDoesNotAnswerIsAnotherError(t *testing.T) {
	t.Parallel() // it waits
	server := redistest.Single(t, redistest.AppendOnly("no"))
	s := open(t, server.Client(t))
	require.NoError(t, s.CheckDurability(t.Context()))
	server.Pause()
	start := time.Now()
	err := s.CheckDurability(t.Context())
	assert.True(t, conn.Infrastructure(err), "%v", err)
	assert.NotErrorIs(t, err, conn.ErrVolatile)
	assert.Less(t, time.Since(start), 10*time.Second, "it has 2 s")
	server.Resume()
}

func clusterIsAskedWhetherItLasts(t *testing.T, cluster *redistest.Cluster) {
	for _, n := range cluster.Nodes()[:3] {
		set(t, n, "appendonly", "yes")
	}
	s := open(t, cluster.Client(t))
	require.NoError(t, s.CheckDurability(t.Context()))
	culprit := cluster.Nodes()[1]
	set(t, culprit, "maxmemory-policy", "allkeys-lfu")
	err := s.CheckDurability(t.Context())
	assert.ErrorIs(t, err, conn.ErrVolatile)
	assert.ErrorContains(t, err, culprit.Addr())
}

// set changes a setting of the server until the test ends.
func set(t *testing.T, server *redistest.Server, name, value string) {
	t.Helper()
	ctx, c := context.WithoutCancel(t.Context()), server.Client(t)
	before := c.ConfigGet(ctx, name).Val()[name]
	require.NoError(t, c.ConfigSet(ctx, name, value).Err())
	t.Cleanup(func() { assert.NoError(t, c.ConfigSet(ctx, name, before).Err()) })
}
