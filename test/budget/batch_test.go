package budget_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// bytesPerRun is how many bytes f allocates.
func bytesPerRun(f func()) uint64 {
	const runs = 50
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// The reply to the read of a batch goes back to the pool once its entries are decoded, so
// that a call takes no memory for it.
func TestABatchOfHitsTakesNoMemoryForItsReply(t *testing.T) {
	if testkit.PoolSlack > 0 {
		t.Skip("the race detector lets pools lose what they hold")
	}
	ctx := t.Context()
	c := testkit.NewCache[article](t, redistest.Single(t).Client(t), cache.WithXFetch(0))
	var keys []string
	values, small := map[string]article{}, newArticle()
	small.Body = ""
	for i := range 100 {
		key := strconv.Itoa(i)
		keys, values[key] = append(keys, key), small
	}
	_, err := c.Get(ctx, "none") // it tells the time of Redis
	require.ErrorIs(t, err, cache.ErrMiss)
	get := func() {
		got, err := c.GetMany(ctx, keys)
		assert.NoError(t, err)
		assert.Len(t, got, len(keys))
	}
	require.NoError(t, c.SetMany(ctx, values))
	without := bytesPerRun(get)
	for key := range values {
		values[key] = newArticle()
	}
	require.NoError(t, c.SetMany(ctx, values))
	with := bytesPerRun(get)
	t.Logf("bytes of 100 hits: %d with bodies of 900 bytes, %d without", with, without)
	assert.Less(t, with-without, uint64(100*1024*5/4), "the decoded bodies, and nothing for the reply")
}
