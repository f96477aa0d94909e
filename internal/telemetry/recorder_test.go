package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/larder-go/cache/internal/meter"
	"github.com/larder-go/cache/internal/telemetry"
)

var (
	errAnswer  = errors.New("there is none")
	errUnasked = errors.New("the breaker is open")
)

// collected is what a recorder has told.
type collected struct {
	*telemetry.Recorder
	spans  *tracetest.SpanRecorder
	reader *metric.ManualReader
}

// record returns a recorder of the cache "test", whose keys are in the group before the
// first colon.
func record() collected {
	c := collected{spans: tracetest.NewSpanRecorder(), reader: metric.NewManualReader()}
	r := telemetry.New(telemetry.Options{
		Name:     "test",
		Tracers:  trace.NewTracerProvider(trace.WithSpanProcessor(c.spans)),
		Meters:   metric.NewMeterProvider(metric.WithReader(c.reader)),
		KeyGroup: func(key string) string { group, _, _ := strings.Cut(key, ":"); return group },
		Logger:   slog.New(slog.DiscardHandler),
		Answer:   func(err error) bool { return errors.Is(err, errAnswer) },
		Failure:  func(error) string { return "it failed" },
		Unasked:  errUnasked,
	})
	c.Recorder = &r
	r.RedisKey = func(key string) string { return "redis " + key }
	r.Peer = func(_ context.Context, redisKey string) (string, int) { return "node of " + redisKey, 6379 }
	return c
}

// last is the span that ended last.
func (c collected) last(t *testing.T) (map[string]any, trace.Status) {
	t.Helper()
	ended := c.spans.Ended()
	require.NotEmpty(t, ended)
	span := ended[len(ended)-1]
	all := map[string]any{}
	for _, a := range span.Attributes() {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all, span.Status()
}

// counted are the figures of an instrument by a label.
func (c collected) counted(t *testing.T, id meter.ID, label string) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, c.reader.Collect(t.Context(), &all))
	figures := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != meter.Of(id).Name {
				continue
			}
			for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
				value, _ := p.Attributes.Value(attribute.Key(label))
				figures[value.AsString()] += p.Value
			}
		}
	}
	return figures
}

func TestACounterLosesNothing(t *testing.T) {
	var n telemetry.Counter
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1_000 {
				n.Add()
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 8_000, n.Load())
}

func TestLookUpsAreCountedOnceForStatsAndForMetrics(t *testing.T) {
	c := record()
	c.Watch(func() telemetry.Reading { return telemetry.Reading{Stats: c.Snapshot()} })
	defer c.Unwatch()
	outcomes := []telemetry.Outcome{telemetry.Miss, telemetry.Hit, telemetry.HitL1, telemetry.Stale, telemetry.Absent}
	for i, o := range outcomes {
		for range i + 1 {
			c.LookedUp(t.Context(), c.Begin(t.Context()), "users:1", o)
		}
	}
	s := c.Snapshot()
	assert.Equal(t, telemetry.Stats{Misses: 1, Hits: 2 + 3, HitsL1: 3, Stale: 4, Absent: 5}, s)
	assert.Equal(t, map[string]int64{"miss": 1, "hit": 2, "hit_l1": 3, "stale": 4, "absent": 5}, c.counted(t, meter.Requests, meter.Outcome))
	assert.Equal(t, map[string]int64{"users": 15}, c.counted(t, meter.Requests, meter.Group))
}

func TestGroupsThatComeLateAreOneGroup(t *testing.T) {
	c := record()
	c.Watch(func() telemetry.Reading { return telemetry.Reading{} })
	defer c.Unwatch()
	for i := range 40 {
		c.Look("group "+strconv.Itoa(i)+":1", telemetry.Hit)
	}
	groups := c.counted(t, meter.Requests, meter.Group)
	assert.Len(t, groups, 33)
	assert.EqualValues(t, 8, groups["other"])
	assert.EqualValues(t, 40, c.Snapshot().Hits)
}

func TestABatchIsWhatItsKeysAre(t *testing.T) {
	hit := telemetry.Lookup{Outcome: telemetry.Hit, Size: 5, Asked: true}
	near := telemetry.Lookup{Outcome: telemetry.HitL1, Size: 7}
	miss := telemetry.Lookup{Size: -1, Asked: true}
	refused := telemetry.Lookup{Size: -1, Asked: true, Refused: true}
	absent := telemetry.Lookup{Outcome: telemetry.Absent, Size: -1, Err: errAnswer}
	failed := telemetry.Lookup{Size: -1, Err: errors.New("down")}
	for name, test := range map[string]struct {
		all     []telemetry.Lookup
		outcome string
		size    any
		node    any
		breaker any
		status  codes.Code
	}{
		"what they all are":             {all: []telemetry.Lookup{near, near}, outcome: "hit_l1", size: int64(14)},
		"a hit, if they differ":         {all: []telemetry.Lookup{near, hit, absent}, outcome: "hit", size: int64(12), node: "node of redis 1"},
		"a miss, if one of them is":     {all: []telemetry.Lookup{hit, miss}, outcome: "miss", size: int64(5), node: "node of redis 0"},
		"refused, if no node was asked": {all: []telemetry.Lookup{refused, refused}, outcome: "miss", breaker: "open"},
		"asked, if one node was":        {all: []telemetry.Lookup{refused, miss}, outcome: "miss", node: "node of redis 1"},
		"a failure, if one of them is":  {all: []telemetry.Lookup{failed, absent}, outcome: "miss", status: codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			c := record()
			ctx, span := c.Start(t.Context(), telemetry.OpGet)
			for i := range test.all {
				test.all[i].Key = strconv.Itoa(i)
			}
			c.EndLookups(ctx, span, test.all)
			got, status := c.last(t)
			assert.Equal(t, test.outcome, got["cache.outcome"])
			assert.Equal(t, test.outcome != "miss", got["cache.hit"])
			assert.Equal(t, test.size, got["cache.item_size"])
			assert.Equal(t, test.node, got["network.peer.address"])
			assert.Equal(t, test.breaker, got["cache.breaker"])
			assert.Equal(t, test.status, status.Code)
		})
	}
}

func TestABatchOfPutsHasTheNodeOfTheFirstThatWasSent(t *testing.T) {
	c := record()
	ctx, span := c.Start(t.Context(), telemetry.OpPut)
	puts := []telemetry.Put{{Key: "a", Size: 3}, {Key: "b", Size: -1}, {Key: "c", Size: 4}}
	put := func(i int) telemetry.Put { return puts[i] }
	c.EndPuts(ctx, span, len(puts), put, []error{errUnasked, errors.New("down"), nil}, nil)
	got, status := c.last(t)
	assert.Equal(t, []string{"a", "b", "c"}, got["cache.key"])
	assert.EqualValues(t, 7, got["cache.item_size"])
	assert.Equal(t, "node of redis b", got["network.peer.address"])
	assert.NotEmpty(t, got["error.type"], "what Redis said is told")
	assert.Equal(t, codes.Unset, status.Code, "and is no failure of the caller's")
}

func TestWhatNobodyTracesOrMeasuresAllocatesNothing(t *testing.T) {
	r := telemetry.New(telemetry.Options{Name: "test", Logger: slog.New(slog.DiscardHandler)})
	ctx := t.Context()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		began := r.Begin(ctx)
		ctx, span := r.Start(ctx, telemetry.OpGet)
		r.LookedUp(ctx, began, "k", telemetry.Hit)
		r.EndLookup(ctx, span, telemetry.Lookup{Key: "k"})
		r.EndPut(ctx, nil, "", telemetry.Put{Key: "k", Size: 1}, nil)
		r.EndPuts(ctx, nil, 2, func(int) telemetry.Put { return telemetry.Put{Size: 1} }, nil, nil)
	}))
}
