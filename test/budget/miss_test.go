package budget_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// The most allocations of a miss that loads, of one key and of a batch of one.
const (
	mostMiss       = 80.0
	mostBatchOfOne = 90.0
)

func TestAllocationsOfAMissThatLoads(t *testing.T) {
	ctx := t.Context()
	c := testkit.NewCache[article](t, redistest.Single(t).Client(t))
	n := 0
	next := func() string { n++; return "miss" + strconv.Itoa(n) }
	one := func(context.Context, string) (article, error) { return newArticle(), nil }
	many := func(_ context.Context, keys []string) (map[string]article, error) {
		return map[string]article{keys[0]: newArticle()}, nil
	}
	miss := allocs(t, func() error { _, err := c.GetOrLoad(ctx, next(), one); return err })
	batch := allocs(t, func() error { _, err := c.GetOrLoadMany(ctx, []string{next()}, many); return err })
	t.Logf("a miss that loads: %.0f allocations; of a batch of one: %.0f", miss, batch)
	assert.LessOrEqual(t, miss, mostMiss+testkit.PoolSlack)
	assert.LessOrEqual(t, batch, mostBatchOfOne+testkit.PoolSlack)
}
