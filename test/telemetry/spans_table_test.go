package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// What an operation of the table is made of.
func tableHas(keys ...string) func(testing.TB, *tabled) {
	return func(t testing.TB, c *tabled) {
		for _, key := range keys {
			_, err := c.GetOrLoad(t.Context(), key, testkit.Value(testkit.Secret))
			require.NoError(t, err)
		}
	}
}

func tableRemembers(t testing.TB, c *tabled) {
	_, err := c.GetOrLoad(t.Context(), eve, testkit.Failing[string](cache.ErrNotFound))
	require.ErrorIs(t, err, cache.ErrNotFound)
}

func tableStale(t testing.TB, c *tabled) {
	tableHas(ada, bob)(t, c)
	require.NoError(t, c.Expire(t.Context(), ada, bob))
}

func tableDown(t testing.TB, c *tabled) {
	c.rdb.Fail("LOADING " + ada + " " + testkit.Secret)
	for range 10 {
		_, _ = c.Get(t.Context(), bob)
	}
}

func callGet(key string) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error { _, err := c.Get(ctx, key); return err }
}

func callGetOrLoad(key string, load cache.Loader[string]) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error { _, err := c.GetOrLoad(ctx, key, load); return err }
}

func callThrough(key string, load cache.Loader[string]) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error { _, err := c.ReadThrough(load).Get(ctx, key); return err }
}

func callGetMany(keys ...string) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error { _, err := c.GetMany(ctx, keys); return err }
}

func callLoadMany(keys ...string) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error { _, err := c.GetOrLoadMany(ctx, keys, loadAll); return err }
}

func callThroughMany(keys ...string) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error {
		_, err := c.ReadThrough(testkit.Value(testkit.Secret)).GetMany(ctx, keys)
		return err
	}
}

func callWarm(keys ...string) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error {
		_, err := c.Warm(ctx, slices.Values(keys), loadAll, cache.WarmOptions{})
		return err
	}
}

func callSet(ctx context.Context, c *tabled) error { return c.Set(ctx, ada, testkit.Secret) }

func callSetMany(ctx context.Context, c *tabled) error {
	return c.SetMany(ctx, map[string]string{ada: testkit.Secret, bob: testkit.Secret})
}

func callDelete(ctx context.Context, c *tabled) error { return c.Delete(ctx, ada) }

func callUpdate(err error) func(context.Context, *tabled) error {
	return func(ctx context.Context, c *tabled) error {
		return c.Update(ctx, ada, func(context.Context) error { return err })
	}
}

func callInvalidate(ctx context.Context, c *tabled) error { return c.Invalidate(ctx, ada, bob) }

func callFlush(ctx context.Context, c *tabled) error { return c.Flush(ctx) }

// callWait waits for the load of another process.
func callWait(ctx context.Context, c *tabled) error {
	load := testkit.NewGated(func() string { return testkit.Secret })
	other, err := cache.New(c.rdb, "test", cache.Aside[string](), testkit.Patient())
	if err != nil {
		return err
	}
	first := testkit.Start(func() (string, error) { return other.GetOrLoad(ctx, ada, load.Load) })
	<-load.Entered
	before := c.Stats().LockWaits
	second := testkit.Start(func() (string, error) { return c.GetOrLoad(ctx, ada, load.Load) })
	for c.Stats().LockWaits == before && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	close(load.Release)
	return errors.Join((<-first).Err, (<-second).Err, other.Close())
}

// operations are all that a cache does, in each way it may go.
func operations() []operation {
	missing, loads, fails := testkit.Failing[string](cache.ErrNotFound), testkit.Value(testkit.Secret), testkit.Failing[string](errBoom)
	const filled, refreshed = "cache.get(cache.load cache.put)", "cache.get cache.refresh(cache.load cache.put)"
	all := []operation{
		{name: "Get, a miss", call: callGet(ada), tree: "cache.get", outcome: "miss", valueless: "cache.get"},
		{name: "Get, a hit", before: tableHas(ada), call: callGet(ada), tree: "cache.get", outcome: "hit"},
		{name: "Get, stale", before: tableStale, call: callGet(ada), tree: "cache.get", outcome: "miss", valueless: "cache.get"},
		{name: "Get, absent", before: tableRemembers, call: callGet(eve), tree: "cache.get", outcome: "absent", valueless: "cache.get"},
		{name: "Get, in the L1", open: withL1, before: tableHas(ada), call: callGet(ada), tree: "cache.get", outcome: "hit_l1", near: true},
		{name: "Get, absent in the L1", open: withL1, before: tableRemembers, call: callGet(eve), tree: "cache.get", outcome: "absent", valueless: "cache.get", near: true},
		{name: "Get, Redis is down", before: tableDown, call: callGet(ada), tree: "cache.get", outcome: "miss", valueless: "cache.get", refused: true},
	}
	for name, call := range map[string]func(string, cache.Loader[string]) func(context.Context, *tabled) error{
		"GetOrLoad": callGetOrLoad, "ReadThrough.Get": callThrough,
	} {
		all = append(all, []operation{
			{name: name + ", a miss", call: call(ada, loads), tree: filled, outcome: "miss"},
			{name: name + ", a hit", before: tableHas(ada), call: call(ada, loads), tree: "cache.get", outcome: "hit"},
			{name: name + ", nothing there", call: call(eve, missing), tree: filled, outcome: "miss", valueless: "cache.get cache.put"},
			{name: name + ", absent", before: tableRemembers, call: call(eve, missing), tree: "cache.get", outcome: "absent", valueless: "cache.get"},
			{name: name + ", stale", before: tableStale, call: call(ada, loads), tree: refreshed, outcome: "stale"},
			{name: name + ", stale, the refresh fails", before: tableStale, call: call(ada, fails), tree: "cache.get cache.refresh(cache.load)", outcome: "stale"},
			{name: name + ", the load fails", call: call(ada, fails), tree: "cache.get(cache.load)", outcome: "miss", valueless: "cache.get"},
			{name: name + ", in the L1", open: withL1, before: tableHas(ada), call: call(ada, loads), tree: "cache.get", outcome: "hit_l1", near: true},
			{name: name + ", absent in the L1", open: withL1, before: tableRemembers, call: call(eve, missing), tree: "cache.get", outcome: "absent", valueless: "cache.get", near: true},
			{name: name + ", Redis is down", before: tableDown, call: call(ada, loads), tree: "cache.get(cache.load)", outcome: "miss", refused: true},
		}...)
	}
	for name, call := range map[string]func(...string) func(context.Context, *tabled) error{
		"GetOrLoadMany": callLoadMany, "ReadThrough.GetMany": callThroughMany,
	} {
		all = append(all, []operation{
			{name: name + ", misses", call: call(ada, bob), tree: filled, outcome: "miss"},
			{name: name + ", a hit and a miss", before: tableHas(ada), call: call(ada, bob), tree: filled, outcome: "miss"},
			{name: name + ", hits", before: tableHas(ada, bob), call: call(ada, bob), tree: "cache.get", outcome: "hit"},
			{name: name + ", stale", before: tableStale, call: call(ada), tree: refreshed, outcome: "stale"},
			{name: name + ", in the L1", open: withL1, before: tableHas(ada, bob), call: call(ada, bob), tree: "cache.get", outcome: "hit_l1", near: true},
			{name: name + ", absent", before: tableRemembers, call: call(eve), tree: "cache.get", outcome: "absent", valueless: "cache.get"},
			{name: name + ", Redis is down", before: tableDown, call: call(ada), tree: "cache.get(cache.load)", outcome: "miss", refused: true},
			{name: name + ", of nothing", call: call()},
		}...)
	}
	return slices.Concat(all, batches(), writes())
}

func batches() []operation {
	const filled = "cache.get(cache.load cache.put)"
	return []operation{
		{name: "GetOrLoadMany, nothing there", call: callLoadMany(eve), tree: filled, outcome: "miss", valueless: "cache.get cache.put"},
		{name: "GetMany, misses", call: callGetMany(ada, bob), tree: "cache.get", outcome: "miss", valueless: "cache.get"},
		{name: "GetMany, a hit and a miss", before: tableHas(ada), call: callGetMany(ada, bob), tree: "cache.get", outcome: "miss"},
		{name: "GetMany, hits", before: tableHas(ada, bob), call: callGetMany(ada, bob), tree: "cache.get", outcome: "hit"},
		{name: "GetMany, stale", before: tableStale, call: callGetMany(ada), tree: "cache.get", outcome: "miss", valueless: "cache.get"},
		{name: "GetMany, absent", before: tableRemembers, call: callGetMany(eve), tree: "cache.get", outcome: "absent", valueless: "cache.get"},
		{name: "GetMany, in the L1", open: withL1, before: tableHas(ada, bob), call: callGetMany(ada, bob), tree: "cache.get", outcome: "hit_l1", near: true},
		{name: "GetMany, of nothing", call: callGetMany()},
		{name: "GetOrLoad, a load elsewhere", call: callWait, tree: "cache.get(cache.lock.wait)", outcome: "miss"},
		{name: "Warm, misses", call: callWarm(ada), tree: "cache.get cache.get(cache.load cache.put)", outcome: "miss", valueless: "first"},
		{name: "Warm, hits", before: tableHas(ada, bob), call: callWarm(ada, bob), tree: "cache.get", outcome: "hit"},
	}
}

func writes() []operation {
	all := []operation{
		{name: "Set", call: callSet, tree: "cache.put"},
		{name: "Set, Redis is down", before: tableDown, call: callSet, tree: "cache.put", refused: true},
		{name: "SetMany", call: callSetMany, tree: "cache.put"},
		{name: "SetMany, Redis is down", before: tableDown, call: callSetMany, tree: "cache.put", refused: true},
		{name: "Delete", call: callDelete, tree: "cache.remove"},
		{name: "Invalidate", call: callInvalidate, tree: "cache.remove"},
		{name: "Invalidate, Redis is down", before: tableDown, call: callInvalidate, tree: "cache.remove", refused: true},
		{name: "Expire", before: tableHas(ada), call: func(ctx context.Context, c *tabled) error { return c.Expire(ctx, ada) }, tree: "cache.remove"},
		{name: "InvalidateTags", call: func(ctx context.Context, c *tabled) error { return c.InvalidateTags(ctx, testkit.Secret) }, tree: "cache.remove", keyless: true},
		{name: "InvalidateAll", call: func(ctx context.Context, c *tabled) error { return c.InvalidateAll(ctx) }, tree: "cache.flush"},
		{name: "Update", call: callUpdate(nil), tree: "cache.remove"},
		{name: "Update, the write fails", call: callUpdate(errBoom), tree: "cache.remove"},
		{name: "Flush", call: callFlush, tree: "cache.flush", nodeless: true},
	}
	through := writtenThrough(rows{})
	for _, o := range []operation{
		{name: "Set", call: callSet, tree: "cache.put"},
		{name: "Set, the writer fails", open: writtenThrough(rows{errBoom}), call: callSet, tree: "cache.put", valueless: "cache.put"},
		{name: "SetMany", call: callSetMany, tree: "cache.put cache.put"},
		{name: "Delete", call: callDelete, tree: "cache.remove"},
		{name: "Update", call: callUpdate(nil), tree: "cache.remove"},
	} {
		o.name = "WriteThrough, " + o.name
		if o.open == nil {
			o.open = through
		}
		all = append(all, o)
	}
	for _, o := range []operation{
		{name: "Set", call: callSet, tree: "cache.put"},
		{name: "SetMany", call: callSetMany, tree: "cache.put cache.put"},
		{name: "Delete", call: callDelete, tree: "cache.remove"},
		{name: "Update", call: callUpdate(nil), tree: "cache.remove"},
		{name: "Get, not flushed", before: func(t testing.TB, c *tabled) { require.NoError(t, callSet(t.Context(), c)) }, call: callGet(ada), tree: "cache.get", outcome: "hit"},
		{name: "Flush", call: callFlush, tree: "cache.flush", nodeless: true},
	} {
		o.name, o.open = "WriteBehind, "+o.name, putBehind
		all = append(all, o)
	}
	return append(all, operation{
		name: "WriteBehind, Set and a worker's flush", open: workedBehind, call: callSet, tree: "cache.flush cache.put", nodeless: true,
	})
}

// redacted is what spans show in place of a key.
const redacted = "user:…"

// Every public operation × every attribute: present with its type, or absent by a
// rule. What is printed is the table. WithKeyAttribute has the last word on keys,
// wherever a span might show one.
func TestTheTableOfSpans(t *testing.T) {
	all := operations()
	slices.SortStableFunc(all, func(a, b operation) int { return strings.Compare(a.name, b.name) })
	spans := make([]tracetest.SpanStubs, len(all))
	t.Run("operations", func(t *testing.T) {
		for i, o := range all {
			t.Run(o.name, func(t *testing.T) {
				t.Parallel() // an L1 takes its time to hear itself, InvalidateAll its second
				spans[i] = o.run(t, cache.WithKeyAttribute(func(string) string { return redacted }))
				o.redacts(t, spans[i])
			})
		}
	})
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 1, ' ', 0)
	fmt.Fprint(w, "operation\tspan")
	for _, col := range columns {
		fmt.Fprint(w, "\t", col.name)
	}
	fmt.Fprintln(w)
	for n, o := range all {
		for i := range spans[n] {
			fmt.Fprintf(w, "%s\t%s", o.name, spans[n][i].Name)
			for _, col := range columns {
				shown, problem := o.cell(&spans[n][i], col, i == 0)
				assert.Empty(t, problem, "%s: %s of %s", o.name, col.name, spans[n][i].Name)
				fmt.Fprint(w, "\t", shown)
			}
			fmt.Fprintln(w)
		}
	}
	require.NoError(t, w.Flush())
	for i, rule := range rules {
		fmt.Fprintf(&table, "-%c: %s\n", 'a'+i, rule)
	}
	t.Log("\n" + table.String())
}

// redacts asserts that the spans show no key as it is.
func (o *operation) redacts(t *testing.T, spans tracetest.SpanStubs) {
	t.Helper()
	for _, span := range spans {
		said := fmt.Sprint(span.Name, span.Status, span.Attributes, span.Events, span.Links)
		assert.NotContains(t, said, personal)
		if o.absent(span.Name, "cache.key", false) == "" {
			assert.Contains(t, said, redacted)
		}
	}
}
