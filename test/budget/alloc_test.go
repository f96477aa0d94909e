package budget_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/testkit"
)

// allocs is the allocations of one call of f, which must not fail.
func allocs(t testing.TB, f func() error) float64 {
	t.Helper()
	require.NoError(t, f(), "the first call warms up")
	var failed error
	n := testing.AllocsPerRun(testkit.AllocRuns, func() {
		if err := f(); err != nil {
			failed = err
		}
	})
	require.NoError(t, failed)
	return n
}

// article is a value of about 1 KiB.
type article struct {
	ID    int      `json:"id"`
	Title string   `json:"title"`
	Tags  []string `json:"tags"`
	Body  string   `json:"body"`
}

func newArticle() article {
	return article{ID: 7, Title: "Caches", Tags: []string{"go", "redis"}, Body: strings.Repeat("x", 900)}
}

// spareHit is how many allocations more a hit makes than a GET and a decode.
const spareHit = 3

func TestAllocationsOfAHit(t *testing.T) {
	ctx := t.Context()
	rdb := redistest.Single(t).Client(t)
	data, err := json.Marshal(newArticle())
	require.NoError(t, err)
	require.NoError(t, rdb.Set(ctx, "raw", data, 0).Err())
	raw := allocs(t, func() error { return rawHit(ctx, rdb) })

	c := testkit.NewCache[article](t, rdb, cache.WithXFetch(0))
	_, err = c.Get(ctx, testkit.RawKey) // it tells the time of Redis, which Set notes in the entry
	require.ErrorIs(t, err, cache.ErrMiss)
	require.NoError(t, c.Set(ctx, testkit.RawKey, newArticle()))
	never := testkit.MustNotLoad[article](t)
	through := c.ReadThrough(never)
	hits := map[string]func() error{
		"Get":             func() error { _, err := c.Get(ctx, testkit.RawKey); return err },
		"GetOrLoad":       func() error { _, err := c.GetOrLoad(ctx, testkit.RawKey, never); return err },
		"ReadThrough.Get": func() error { _, err := through.Get(ctx, testkit.RawKey); return err },
	}
	for name, hit := range hits {
		n := allocs(t, hit)
		t.Logf("%s: %.0f allocations; a GET and a decode: %.0f", name, n, raw)
		assert.LessOrEqual(t, n, raw+spareHit+testkit.PoolSlack, name)
	}
}

// rawHit is what a hit is compared with.
func rawHit(ctx context.Context, rdb *redis.Client) error {
	data, err := rdb.Get(ctx, "raw").Bytes()
	if err != nil {
		return err
	}
	var v article
	return cache.JSON.Decode(data, &v)
}

func TestAMissAllocatesNothingBeyondTheRead(t *testing.T) {
	ctx := t.Context()
	rdb := redistest.Single(t).Client(t)
	c := testkit.NewCache[article](t, rdb)
	space, err := keyspace.New("test")
	require.NoError(t, err)
	s := store.New(rdb, store.Options{ReadBudget: testkit.Forever})
	t.Cleanup(func() { assert.NoError(t, s.Close()) })

	read := allocs(t, func() error {
		return s.Read(ctx, []string{space.Entry("absent")}, nil)[0].Err
	})
	miss := allocs(t, func() error {
		if _, err := c.Get(ctx, "absent"); err != cache.ErrMiss { //nolint:errorlint // the identity is the promise
			return err
		}
		return nil
	})
	t.Logf("Get of a miss: %.0f allocations; the read alone: %.0f", miss, read)
	assert.LessOrEqual(t, miss, read+testkit.PoolSlack)
}

// setup is a cache's options and the context of its calls.
type setup struct {
	ctx     context.Context //nolint:containedctx // a table
	options []cache.Option
}

// silent are the set-ups in which telemetry records nothing.
func silent(t testing.TB) map[string]setup {
	sdk := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	unrecorded, _ := sdk.Tracer("parent").Start(t.Context(), "parent")
	given := []cache.Option{cache.WithTracerProvider(testkit.NewRecorder())}
	return map[string]setup{
		"no provider":                      {t.Context(), nil},
		"a no-op provider":                 {t.Context(), []cache.Option{cache.WithTracerProvider(noop.NewTracerProvider())}},
		"a parent that does not record":    {unrecorded, given},
		"a parent of a propagated context": {trace.ContextWithSpanContext(t.Context(), testkit.SpanContext(0)), given},
	}
}

// The spans that nobody records are measured where there is nothing else to measure:
// a hit in the L1 allocates nothing.
func TestTelemetryThatRecordsNothingAllocatesNothing(t *testing.T) {
	load, setups := testkit.Value(newArticle()), silent(t)
	options := map[string][]cache.Option{}
	for name, setup := range setups {
		options[name] = setup.options
	}
	for name, c := range hitsInL1(t, "k", options) {
		ctx := setups[name].ctx
		testkit.Eventually(t, func() bool { // the clear token is renewed meanwhile, by others
			return testing.AllocsPerRun(testkit.AllocRuns, func() { _, _ = c.GetOrLoad(ctx, "k", load) }) == 0
		}, name+": no allocations")
	}
}
