package telemetry_test

import (
	"reflect"
	"strconv"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/testkit"
)

// figureOf says where each field of Stats is among the metrics: an instrument, and
// labels.
var figureOf = map[string][][]string{
	"HitsL1":       {{"cache.requests", "cache.outcome", "hit_l1"}},
	"Hits":         {{"cache.requests", "cache.outcome", "hit"}, {"cache.requests", "cache.outcome", "hit_l1"}},
	"Stale":        {{"cache.requests", "cache.outcome", "stale"}},
	"Absent":       {{"cache.requests", "cache.outcome", "absent"}},
	"Misses":       {{"cache.requests", "cache.outcome", "miss"}},
	"Loads":        {{"cache.loads"}},
	"LoadErrors":   {{"cache.loads", "cache.load.result", "error"}},
	"LoadsAbsent":  {{"cache.loads", "cache.load.result", "absent"}},
	"Coalesced":    {{"cache.coalesced"}},
	"LockWaits":    {{"cache.lock.waits"}},
	"RefusedFills": {{"cache.fills.refused"}},
	"Refreshes":    {{"cache.refreshes"}},
	"Bypassed":     {{"cache.bypassed"}},
	"Corrupt":      {{"cache.records.corrupt"}},
	"Foreign":      {{"cache.records.foreign"}},
	"Pending":      {{"cache.invalidations.pending"}},
	"Dirty":        {{"cache.write_behind.dirty"}},
	"DeadLetters":  {{"cache.write_behind.dead_letters"}},
	"Flushed":      {{"cache.write_behind.flushed"}},
	"FlushErrors":  {{"cache.write_behind.flush.errors"}},
	"RedisErrors":  {{"cache.redis.errors"}},
	"Loading":      {{"cache.loads.running"}},
	"Overdue":      {{"cache.loads.overdue"}},
	"Refilling":    {{"cache.refilling"}},
	"Waiting":      {{"cache.requests.waiting"}},
	"Lag":          {{"cache.write_behind.lag"}},
	"Retrying":     {{"cache.write_behind.retrying"}},
	"OldestRetry":  {{"cache.write_behind.oldest_retry"}},
	"SinkCalls":    {{"cache.write_behind.sink.calls"}},
	"WaitingPuts":  {{"cache.write_behind.puts.waiting"}},
	"Unencodable":  {{"cache.values.unencodable"}},
	"Unpublished":  {{"cache.changes.unpublished"}},
}

// agree asserts that the metrics of the cache of that name say what Stats says, field
// by field, and returns it. Work in the background may come between two readings.
func agree(t require.TestingT, m testkit.Meters, name string, stats func() cache.Stats) cache.Stats {
	for range 1000 {
		before := stats()
		got := m.Collect(t)
		if before != stats() {
			continue
		}
		fields := reflect.ValueOf(before)
		for i := range fields.NumField() {
			field := fields.Type().Field(i).Name
			require.Contains(t, figureOf, field, "no metric is named for the field")
			want := float64(fields.Field(i).Int())
			if d, ok := fields.Field(i).Interface().(time.Duration); ok {
				want = d.Seconds()
			}
			sum := 0.0
			for _, figure := range figureOf[field] {
				sum += got.Sum(figure[0], append(figure[1:], "cache.name", name)...)
			}
			require.Equal(t, strconv.FormatFloat(want, 'g', -1, 64), strconv.FormatFloat(sum, 'g', -1, 64), "%s of %s", field, name)
		}
		return before
	}
	assert.Fail(t, "Stats never stood still")
	return cache.Stats{}
}
