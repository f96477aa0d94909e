package telemetry_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/testkit"
)

// operation is a row of the table of spans: a call, the spans that it leaves, and
// what is by rule not to be said of them.
type operation struct {
	name   string
	open   func(t testing.TB, c *tabled) *cache.Cache[string] // nil: opens an Aside
	before func(t testing.TB, c *tabled)                      // not recorded
	call   func(ctx context.Context, c *tabled) error         // its error is other tests' business
	tree   string

	outcome   string // of each cache.get
	valueless string // the spans that are about no value, by name; or "first"
	near      bool   // the L1 answers
	refused   bool   // the breaker is open
	keyless   bool   // it is about no keys; a cache.flush is so by itself
	nodeless  bool   // its cache.flush asks no one node
}

// tabled is the cache of an operation.
type tabled struct {
	*cache.Cache[string]
	rdb     *cachetest.Server
	spans   *testkit.Recorder
	options cache.Options
}

const (
	ada, bob, eve = "user:ada@example.com", "user:bob@example.com", "user:eve@example.com"
	personal      = "@example.com" // in every key
)

// run opens a cache, makes the call and returns its spans. Where Redis is not to be
// asked it makes the call until it is not.
func (o *operation) run(t *testing.T, opts ...cache.Option) tracetest.SpanStubs {
	c := &tabled{rdb: cachetest.Redis(t), spans: testkit.NewRecorder()}
	c.options = append(opts,
		cache.Expires(&cache.TTL{Name: "hour", Fresh: time.Hour, Jitter: -1, Absent: time.Hour, StaleWhileRevalidate: time.Hour}),
		cache.WithTracerProvider(c.spans), cache.WithXFetch(0), cache.WithKeyGroup(testkit.GroupOf))
	open := o.open
	if open == nil {
		open = func(t testing.TB, c *tabled) *cache.Cache[string] {
			return testkit.NewCache[string](t, c.rdb, c.options)
		}
	}
	c.Cache = open(t, c)
	if o.before != nil {
		o.before(t, c)
	}
	for end := time.Now().Add(testkit.Forever); ; {
		o.record(t, c)
		if !o.near && !o.refused || o.unasked(c.spans) {
			break
		}
		require.True(t, time.Now().Before(end), "Redis is asked each time")
	}
	require.Equal(t, o.tree, c.spans.Tree())
	c.rdb.Heal()
	testkit.Eventually(t, func() bool { return c.Stats().Pending == 0 }, "what was invalidated to be so")
	assert.NotContains(t, testkit.Everything(c.spans), testkit.Secret, "a value or an error's text")
	return c.spans.Spans()
}

// record makes the call, and waits for the spans that it leaves.
func (o *operation) record(t *testing.T, c *tabled) {
	testkit.Eventually(t, func() bool { return c.Cache.Stats().Loading == 0 }, "what came before to end")
	c.spans.Memory.Reset()
	_ = o.call(t.Context(), c)
	if o.ends() {
		testkit.Eventually(t, func() bool { return c.spans.Tree() == o.tree }, "the spans "+o.tree)
	}
}

// ends reports whether spans of the call end behind it, in the background.
func (o *operation) ends() bool {
	return strings.Contains(o.tree, "cache.refresh") || strings.Contains(o.name, "worker")
}

// unasked reports whether Redis was not asked: the clear token of an L1 may just be
// renewed, and a breaker may just try.
func (o *operation) unasked(r *testkit.Recorder) bool {
	first := r.Spans()[0]
	said := testkit.Attributes(&first)
	_, refused := said["cache.breaker"]
	_, asked := said["network.peer.address"]
	return !asked && refused == o.refused && (!o.near || said["cache.outcome"] == o.outcome)
}

// column is an attribute, and what type it has.
type column struct {
	name string
	of   any
}

var columns = []column{
	{"sentry.op", ""},
	{"cache.operation", ""},
	{"cache.hit", true},
	{"cache.key", []string{}},
	{"cache.item_size", int64(0)},
	{"cache.ttl", int64(0)},
	{"cache.name", ""},
	{"cache.group", ""},
	{"cache.outcome", ""},
	{"network.peer.address", ""},
	{"network.peer.port", int64(0)},
}

// The rules by which an attribute is absent.
const (
	ruleGets     = "only gets find something"
	ruleEntries  = "only gets and puts are about entries"
	ruleValue    = "there is no value"
	ruleParent   = "the span it belongs to has it"
	ruleKeyless  = "it is about no keys: everything, or tags"
	ruleNear     = "the L1 answered"
	ruleRefused  = "the breaker is open: no node was asked"
	ruleNodeless = "no one node is asked"
)

// absent is the rule by which a span of the operation lacks an attribute, "" if it
// must have it.
func (o *operation) absent(span, attribute string, first bool) string {
	get, put := span == "cache.get", span == "cache.put"
	part := span == "cache.load" || span == "cache.lock.wait"
	switch attribute {
	case "cache.hit", "cache.outcome":
		return when(!get, ruleGets)
	case "cache.ttl":
		return when(!get && !put, ruleEntries)
	case "cache.item_size":
		return cmp.Or(when(!get && !put, ruleEntries),
			when(slices.Contains(strings.Fields(o.valueless), span) || o.valueless == "first" && first, ruleValue))
	case "cache.key", "cache.group":
		return cmp.Or(when(part, ruleParent), when(o.keyless || span == "cache.flush", ruleKeyless))
	case "network.peer.address", "network.peer.port":
		return cmp.Or(when(part || span == "cache.refresh", ruleNodeless),
			when(o.near, ruleNear), when(o.refused, ruleRefused), when(o.nodeless && span == "cache.flush", ruleNodeless))
	}
	return ""
}

func when(is bool, rule string) string {
	if is {
		return rule
	}
	return ""
}

// cell is what a cell shows, and what is wrong with it: "" if nothing is. first is the
// span that began before the others.
func (o *operation) cell(span *tracetest.SpanStub, col column, first bool) (shown, problem string) {
	v, has := testkit.Attributes(span)[col.name]
	rule := o.absent(span.Name, col.name, first)
	switch {
	case !has && rule == "":
		return "!", "is missing"
	case has && rule != "":
		return "!", fmt.Sprintf("is %v, though %s", v, rule)
	case !has:
		return "-" + string(rune('a'+slices.Index(rules, rule))), ""
	case fmt.Sprintf("%T", v) != fmt.Sprintf("%T", col.of):
		return "!", fmt.Sprintf("is a %T", v)
	}
	return fmt.Sprintf("%T", v), o.wrong(span.Name, col.name, v)
}

var rules = []string{ruleGets, ruleEntries, ruleValue, ruleParent, ruleKeyless, ruleNear, ruleRefused, ruleNodeless}

// wrong is what is wrong with a value, as far as each span tells.
func (o *operation) wrong(span, attribute string, v any) string {
	var want any
	switch attribute {
	case "sentry.op":
		want = span
	case "cache.operation":
		want = strings.TrimPrefix(span, "cache.")
	case "cache.hit":
		want = o.outcome != "miss"
	case "cache.outcome":
		want = o.outcome
	case "cache.group":
		want = "user"
	case "network.peer.address":
		want = "127.0.0.1"
	default:
		return when(fmt.Sprint(v) == "" || fmt.Sprint(v) == "[]" || attribute == "cache.item_size" && v.(int64) <= 0, "is empty")
	}
	return when(v != want, fmt.Sprintf("is %v, not %v", v, want))
}

// rows are a system of record that takes anything.
type rows struct{ err error }

func (r rows) Write(context.Context, string, string) error { return r.err }
func (r rows) Delete(context.Context, string) error        { return r.err }

func writtenThrough(w cache.Writer[string], how ...cache.WriteThroughOption) func(testing.TB, *tabled) *cache.Cache[string] {
	return func(t testing.TB, c *tabled) *cache.Cache[string] {
		through, err := cache.New(c.rdb, "through", cache.WriteThrough(w, how...), testkit.Patient(), c.options)
		require.NoError(t, err)
		t.Cleanup(func() { _ = through.Close() })
		return through
	}
}

func putBehind(t testing.TB, c *tabled) *cache.Cache[string] {
	return testkit.NewPutter(t, c.rdb, c.options)
}

func workedBehind(t testing.TB, c *tabled) *cache.Cache[string] {
	return testkit.NewBehind(t, c.rdb, testkit.NewLedger(), cache.WriteBehindOptions{}, c.options)
}

// withL1 is a cache whose L1 is in use.
func withL1(t testing.TB, c *tabled) *cache.Cache[string] {
	l1 := testkit.NewL1(t, c.rdb, cache.L1Options{TTL: time.Hour})
	near := testkit.NewCache[string](t, c.rdb, c.options, cache.WithL1(l1))
	testkit.InUse(t, near)
	return near
}

// loadAll finds each key but eve's.
func loadAll(_ context.Context, keys []string) (map[string]string, error) {
	found := map[string]string{}
	for _, key := range keys {
		if key != eve {
			found[key] = testkit.Secret
		}
	}
	return found, nil
}

var errBoom = errors.New("boom " + testkit.Secret)
