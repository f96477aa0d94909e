package cluster_test

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// all are those that hold text.
func (l *lines) all(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// A client that is made for one server is no passing failure of the cluster: it is said
// once what is wrong with it, however many keys are somewhere else.
func TestAClientForOneServerIsToldOnceThatItIsNoneForACluster(t *testing.T) {
	cluster := redistest.SharedCluster(t)
	client := cluster.Nodes()[0].Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	var out lines
	c, err := cache.New(client, "test", cache.Aside[int](), testkit.Patient(), cache.WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	require.NoError(t, err)
	t.Cleanup(func() { assert.ErrorContains(t, c.Close(), "pending invalidations left") })
	refused := 0
	for i := range 100 {
		key := strconv.Itoa(i)
		v, err := c.GetOrLoad(t.Context(), key, testkit.Value(7))
		require.NoError(t, err, "it loads")
		require.Equal(t, 7, v)
		if err := c.Invalidate(t.Context(), key); err != nil {
			assert.ErrorContains(t, err, "NewClusterClient")
			refused++
		}
	}
	assert.Greater(t, refused, 40, "two thirds of the keys are other nodes'")
	said := out.all("node of a cluster")
	require.Len(t, said, 1)
	assert.Contains(t, said[0], "redis.NewClusterClient")
	assert.NotContains(t, strings.Join(out.all(""), ""), "redis failed")
	assert.NotContains(t, said[0], "MOVED", "it says so in words")

	found, err := cache.Diagnose(t.Context(), client)
	require.NoError(t, err)
	assert.True(t, has(found, "redis.NewClusterClient"), "%v", found)
	found, err = cache.Diagnose(t.Context(), cluster.Client(t))
	require.NoError(t, err)
	assert.False(t, has(found, "redis.NewClusterClient"), "%v", found)
}

func has(found []cache.Finding, mend string) bool {
	for _, f := range found {
		if strings.Contains(f.Mend, mend) {
			return true
		}
	}
	return false
}
