package cluster_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// clusterTags are entries whose tags' tokens are on all nodes, by one of several
// callers that name them or do not.
func clusterTags(t *testing.T, cluster *redistest.Cluster) {
	ctx := t.Context()
	c := testkit.NewCache[int](t, tuned(t, cluster))
	other := testkit.NewCache[int](t, tuned(t, cluster))
	tags, owners := testkit.TagsOf("cluster ", 8), map[string]bool{}
	for _, tag := range tags {
		owners[cluster.Owner(testkit.TokenKey(t, tag)).Addr()] = true
	}
	require.Len(t, owners, 3, "tokens on all nodes")
	const keys = 16
	fill := func() {
		for i := range keys {
			_, err := other.GetOrLoad(ctx, fmt.Sprint("tagged ", i), testkit.Value(i), cache.Tagged(tags[i%8], tags[(i+1)%8]))
			require.NoError(t, err)
		}
	}
	left := func(c *cache.Cache[int]) (n int) {
		for i := range keys {
			_, err := c.Get(ctx, fmt.Sprint("tagged ", i))
			if err == nil {
				n++
			} else {
				require.True(t, errors.Is(err, cache.ErrMiss), err)
			}
		}
		return n
	}
	fill()
	assert.Equal(t, keys, left(c))
	require.NoError(t, c.InvalidateTags(ctx, tags[0]))
	assert.Equal(t, keys-4, left(other), "two keys of each tag, each with two tags")
	fill()
	require.NoError(t, c.InvalidateTags(ctx, tags[:4]...), "of all nodes in one call")
	assert.Equal(t, keys-10, left(other))
	fill()
	require.NoError(t, c.InvalidateAll(ctx))
	assert.Zero(t, left(other))
	assert.Zero(t, left(c))
	assert.Zero(t, c.Stats().Pending)
}
