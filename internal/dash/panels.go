package dash

import (
	"fmt"
	"strings"

	"github.com/larder-go/cache/internal/meter"
)

// Row is a row of panels.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one graph. Means is in words what it shows, and what is wrong when it
// looks wrong.
type Panel struct {
	Title, Unit, Means string
	Queries            []Query
}

// Query is one PromQL expression; Legend names its series.
type Query struct{ Expr, Legend string }

// chosen is what the dashboard's variables choose.
const chosen = `job=~"$job",cache_name=~"$cache"`

// by is the labels of a sum.
func by(labels []string) string {
	all := []string{meter.Label(meter.Name)}
	for _, l := range labels {
		all = append(all, meter.Label(l))
	}
	return strings.Join(all, ", ")
}

// legend names series by their labels.
func legend(labels []string) string {
	text := "{{" + meter.Label(meter.Name) + "}}"
	for _, l := range labels {
		text += " {{" + meter.Label(l) + "}}"
	}
	return text
}

// rate is how often a second.
func rate(id meter.ID, labels ...string) Query {
	return Query{fmt.Sprintf("sum by (%s) (rate(%s{%s}[$__rate_interval]))", by(labels), name(id), chosen), legend(labels)}
}

// quantile is of a histogram.
func quantile(q float64, id meter.ID, labels ...string) Query {
	return Query{
		fmt.Sprintf("histogram_quantile(%g, sum by (le, %s) (rate(%s_bucket{%s}[$__rate_interval])))", q, by(labels), name(id), chosen),
		fmt.Sprintf("p%g %s", 100*q, legend(labels)),
	}
}

// sum is of all processes, highest of that process which has most.
func sum(id meter.ID) Query {
	return Query{fmt.Sprintf("sum by (%s) (%s{%s})", by(nil), name(id), chosen), legend(nil)}
}

func highest(id meter.ID) Query {
	return Query{fmt.Sprintf("max by (%s) (%s{%s})", by(nil), name(id), chosen), legend(nil)}
}

// hitRatio is the part of the look-ups with one of these outcomes.
func hitRatio(outcomes, of string) Query {
	series := name(meter.Requests) + "{" + chosen
	return Query{fmt.Sprintf(`sum by (%s) (rate(%s,cache_outcome=~"%s"}[$__rate_interval])) / sum by (%s) (rate(%s}[$__rate_interval]))`,
		by(nil), series, outcomes, by(nil), series), of + " " + legend(nil)}
}

// Rows are the dashboard.
var Rows = []Row{
	{"What callers get", []Panel{
		{
			"Hit ratio", "percentunit", "The part of the look-ups that needed no load, and of them those answered in the process. It should be steady for a time of the day; a fall after a deployment is a key or a codec that has changed, one without is invalidations, evictions in Redis, or other traffic.",
			[]Query{hitRatio("hit_l1|hit|stale|absent", "all"), hitRatio("hit_l1", "L1")},
		},
		{
			"Look-ups", "reqps", "Look-ups a second, by what their first read found: hit_l1 in the process, hit in Redis, stale an old value, absent a remembered absence, miss nothing.",
			[]Query{rate(meter.Requests, meter.Outcome)},
		},
		{
			"Look-ups by group", "reqps", "The same by group of keys, where WithKeyGroup names groups; `other` are the groups after the first 32.",
			[]Query{rate(meter.Requests, meter.Group)},
		},
		{
			"Time of a call", "s", "Median and 99th percentile by outcome. A hit should take a round trip to Redis, hit_l1 about a microsecond, a miss as long as the load.",
			[]Query{quantile(.5, meter.GetDuration, meter.Outcome), quantile(.99, meter.GetDuration, meter.Outcome)},
		},
		{
			"Age of stale values", "s", "How old values were that were served stale. Near the end of StaleIfError: the system of record has been failing for long.",
			[]Query{quantile(.5, meter.StaleAge), quantile(.99, meter.StaleAge)},
		},
	}},
	{"What the system of record bears", []Panel{
		{
			"Loads", "ops", "Loader calls a second by result. This is what the database gets; error is what callers, or stale values, pay for.",
			[]Query{rate(meter.Loads, meter.Result)},
		},
		{
			"Time of a load", "s", "Median and 99th percentile of loader calls.",
			[]Query{quantile(.5, meter.LoadDuration, meter.Result), quantile(.99, meter.LoadDuration, meter.Result)},
		},
		{
			"Shared loads", "ops", "Look-ups that joined a load in their process (coalesced), and waits for one in another. A peak is a herd that the cache has held off: a hot key that is invalidated often, or too short a TTL.",
			[]Query{rate(meter.Coalesced), rate(meter.LockWaits)},
		},
		{
			"Loads under way", "short", "Keys that are being loaded, and look-ups that wait for them. Growing without an end: the system of record has stopped answering, and callers pile up until the load timeout.",
			[]Query{sum(meter.Loading), sum(meter.Waiting)},
		},
		{
			"Loads that are limited or overdue", "short", "Refilling: 1 while loads are limited because a cache was emptied, a few seconds. Overdue: loaders that run although their context has ended; their keys wait for them. Make such loaders heed their context.",
			[]Query{highest(meter.Refilling), sum(meter.Overdue)},
		},
		{
			"Refreshes", "ops", "Refreshes in the background: early before the entry ends (XFetch), stale under StaleWhileRevalidate.",
			[]Query{rate(meter.Refreshes, meter.Cause)},
		},
		{
			"Refused fills", "ops", "Loaded values that were not stored because a change overlapped their load. Some are the price of being right; as many as loads means keys that change faster than they load.",
			[]Query{rate(meter.RefusedFills)},
		},
	}},
	{"Redis", []Panel{
		{
			"Redis errors", "ops", "Operations that Redis did not answer properly, by operation. Callers do not see them; the database does, as loads.",
			[]Query{rate(meter.RedisErrors, meter.Op)},
		},
		{
			"Breaker", "short", "1 while Redis, or a node of it, is not asked because it does not answer. All look-ups are loads then, within the load limit.",
			[]Query{highest(meter.BreakerOpen)},
		},
		{
			"Queued invalidations", "short", "Invalidations that Redis did not take yet, of all processes. Until they land other processes may serve what was invalidated.",
			[]Query{sum(meter.Pending)},
		},
		{
			"Bypassed", "ops", "Reads and writes that went past the cache, because Redis failed or the record must not be touched.",
			[]Query{rate(meter.Bypassed)},
		},
		{
			"Records that cannot be used", "ops", "Corrupt: damaged, of another codec or an older schema, replaced by the next load. Foreign: not the cache's, left alone: somebody else writes under its name. Unencodable: values that the codec refused. Unpublished: changes that no L1 was told of.",
			[]Query{rate(meter.Corrupt), rate(meter.Foreign), rate(meter.Unencodable), rate(meter.Unpublished)},
		},
		{
			"Item size", "bytes", "Median and 99th percentile of the encoded values that are stored. Above some 100 KiB Redis and the network become slow for everybody.",
			[]Query{quantile(.5, meter.ItemSize), quantile(.99, meter.ItemSize)},
		},
	}},
	{"In the process (L1)", []Panel{
		{"L1 entries", "short", "Entries in the memory of all processes, with those not swept yet.", []Query{sum(meter.L1Entries)}},
		{"L1 size", "bytes", "What they weigh. Caches that share an L1 share its budget.", []Query{sum(meter.L1Size)}},
		{"L1 evictions", "ops", "Entries that had to make room. As many as are put in: the budget is too small for what is hot.", []Query{rate(meter.L1Evictions)}},
	}},
	{"Write-behind", []Panel{
		{"Dirty keys", "short", "Keys whose latest value is in Redis and not in the sink yet. Growing: the sink is slower than the writes.", []Query{highest(meter.Dirty)}},
		{"Lag", "s", "For how long the oldest of them has waited: what a loss of Redis would lose.", []Query{highest(meter.Lag)}},
		{"Dead letters", "short", "Values that the sink refused for good. Each waits for somebody to retry or drop it.", []Query{highest(meter.DeadLetters)}},
		{"Keys that are tried again", "short", "Keys that the sink has refused while it took others. Each becomes a dead letter unless a later try succeeds.", []Query{highest(meter.Retrying)}},
		{"Oldest retry", "s", "For how long the sink has failed with the same key, of the process where that is longest. As high as the lag: it is the sink's failures that keep the oldest key.", []Query{highest(meter.OldestRetry)}},
		{"Puts that wait for room", "short", "Calls of Set and Delete that wait because MaxDirty keys wait for the sink, of all processes. More than none for long: writes are as slow as the sink.", []Query{sum(meter.WaitingPuts)}},
		{"Time of a sink call", "s", "Median and 99th percentile of the calls of the sink that have returned. Near SinkTimeout: batches are too large, or the system of record is too slow.", []Query{quantile(.5, meter.SinkDuration), quantile(.99, meter.SinkDuration)}},
		{"Sink calls under way", "short", "Calls of the sink that have not returned, of all processes. As many as there are workers, and nothing is flushed: the sink does not answer.", []Query{sum(meter.SinkCalls)}},
		{"Flushed", "ops", "Values brought to the sink, and calls of it that failed.", []Query{rate(meter.Flushed), rate(meter.FlushErrors)}},
	}},
}
