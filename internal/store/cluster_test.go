package store_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

func TestKeysOfAllNodesOfAClusterAreServed(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.SharedCluster(t).Client(t, func(o *redis.ClusterOptions) { o.ContextTimeoutEnabled = true }))
	ctx, all := t.Context(), redistest.Keys(60)
	asks, commits := make([]store.Acquire, len(all)), make([]store.Commit, len(all))
	for i := range all {
		asks[i], commits[i] = lead(alice, envelope.Token{}), fill(alice)
	}
	grants, _, errs := acquireMany(ctx, s, all, asks, tagKey)
	for i, g := range grants {
		require.NoError(t, errs[i])
		require.Equal(t, store.Granted, g.Answer)
	}
	verdicts, _, errs := commitMany(ctx, s, all, commits, tagKey.Key)
	for i, v := range verdicts {
		require.NoError(t, errs[i])
		require.Equal(t, store.Committed, v)
	}
	records, err := readAll(ctx, s, all...)
	require.NoError(t, err)
	want := clock(record(envelope.Header{Kind: envelope.Value, Fresh: future, CID: alice}, "body"))
	for i := range all {
		assert.Equal(t, want, clock(string(records[i].Data)))
	}
	answers, err := invalidateAll(ctx, s, all...)
	require.NoError(t, err)
	for i := range all {
		assert.Equal(t, store.ChangeMade, answers[i], all[i])
	}
	operations(t, s, func(name string, run func() error) { require.NoError(t, run(), name) })
	tagged(t, s, func(name string, run func() error) { require.NoError(t, run(), name) })
}
