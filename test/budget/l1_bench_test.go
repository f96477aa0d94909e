package budget_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/testkit"
)

const nearKeys = 10_000

// BenchmarkL1Hit compares a hit in the L1, all of it, with a bare look-up of the memory
// below, set up as its README does, with the same keys. They take turns in short rounds,
// and the medians are compared, so that what else the machine does falls on both.
func BenchmarkL1Hit(b *testing.B) {
	names, c, bare := contestants(b)
	load := testkit.MustNotLoad[int](b)
	through := c.ReadThrough(load)
	ctx := b.Context()
	ways := []struct {
		name string
		hit  func(name string) bool
	}{
		{"ReadThrough.Get", func(name string) bool { _, err := through.Get(ctx, name); return err == nil }},
		{"GetOrLoad", func(name string) bool { _, err := c.GetOrLoad(ctx, name, load); return err == nil }},
		{"otter", func(name string) bool { _, ok := bare.GetIfPresent(name); return ok }},
	}
	for _, goroutines := range []int{1, 16} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			times := make([][]float64, len(ways))
			for b.Loop() {
				for i, way := range ways {
					times[i] = append(times[i], perHit(b, names, goroutines, way.hit))
				}
			}
			medians := make([]float64, len(ways))
			for i, way := range ways {
				slices.Sort(times[i])
				medians[i] = times[i][len(times[i])/2]
				b.ReportMetric(medians[i], way.name+"-ns/hit")
			}
			b.ReportMetric(medians[0]/medians[2], "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// perHit is the time of a hit in nanoseconds, over a round of some hundred.
func perHit(b *testing.B, names []string, goroutines int, hit func(string) bool) float64 {
	const hits = 500
	batch := func() {
		for range hits {
			if !hit(names[rand.Uint32N(nearKeys)]) {
				b.Error("missing")
			}
		}
	}
	began := mono.Now()
	if goroutines == 1 {
		batch()
		return float64(mono.Now()-began) / hits
	}
	var all sync.WaitGroup
	for range goroutines {
		all.Go(batch)
	}
	all.Wait()
	return float64(mono.Now()-began) / float64(hits*goroutines)
}

// contestants are a cache whose L1 has all keys, and otter alone with them.
func contestants(b *testing.B) (names []string, c *cache.Cache[int], bare *otter.Cache[string, *int]) {
	b.Helper()
	rdb := cachetest.Redis(b)
	c = testkit.NewCache[int](b, rdb, cache.WithL1(testkit.NewL1(b, rdb, cache.L1Options{TTL: time.Hour})),
		cache.Expires(&cache.TTL{Fresh: 10 * time.Hour}))
	testkit.InUse(b, c)
	bare = bareOtter(b)
	for i := range nearKeys {
		name := fmt.Sprintf("user:%08d", i)
		names = append(names, name)
		bare.Set(name, new(i))
	}
	load := func(_ context.Context, keys []string) (map[string]int, error) {
		all := map[string]int{}
		for _, key := range keys {
			all[key] = 1
		}
		return all, nil
	}
	_, err := c.GetOrLoadMany(b.Context(), names, load)
	require.NoError(b, err)
	testkit.Eventually(b, func() bool {
		before := c.Stats().HitsL1
		_, err := c.GetMany(b.Context(), names)
		return err == nil && c.Stats().HitsL1-before == nearKeys
	}, "all keys to be in the L1")
	return names, c, bare
}

// bareOtter is otter set up as its README does.
func bareOtter(b *testing.B) *otter.Cache[string, *int] {
	c := otter.Must(&otter.Options[string, *int]{MaximumSize: 10 * nearKeys, ExpiryCalculator: otter.ExpiryWriting[string, *int](time.Hour)})
	b.Cleanup(func() { c.StopAllGoroutines() })
	return c
}
