package cache

import (
	"fmt"
	"strings"
	"time"
)

// String is the explanation in several lines, for a terminal or a log. It begins
// with what happens next.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(&b, "  %-7s %s\n", name, text)
		}
	}
	fmt.Fprintf(&b, "%s %q (Redis key %q)\n", e.Cache, e.Key, e.RedisKey)
	line("next", "%s", e.Next)
	line("L1", "%s", e.L1)
	line("Redis", "%s", e.Record)
	line("load", "%s", e.Record.cost())
	line("lease", "%s", e.Lease)
	line("tokens", "%s", e.Record.tokens())
	line("here", "%s", e.here())
	return b.String()
}

// here is what concerns this process alone.
func (e Explanation) here() string {
	breaker := "breaker closed"
	if e.BreakerOpen {
		breaker = "breaker open"
	}
	queued := "nothing queued"
	if e.Queued > 0 {
		queued = fmt.Sprintf("%d invalidations queued, none of this key", e.Queued)
	}
	return join(breaker, when(len(e.Refused) > 0, "the server refuses "+strings.Join(e.Refused, ", ")),
		when(e.Pending, "invalidation queued"), when(!e.Pending, queued), when(e.Loading, "loading"),
		when(e.Overdue, "a loader hangs"), when(e.Refilling > 0, fmt.Sprintf("refills for %v", rounded(e.Refilling))))
}

// String says what the memory holds.
func (l ExplainedL1) String() string {
	switch {
	case !l.On:
		return "off"
	case !l.Found:
		return join("nothing", when(!l.Alive, "messages may be missing"), l.Problem)
	}
	return join(
		when(l.Refused == "", "served"), when(l.Refused != "", "not served: "+l.Refused),
		when(l.Absent, "absence"), when(l.Size > 0, fmt.Sprintf("%d bytes", l.Size)), since("age", l.Age),
		fmt.Sprintf("soft TTL %s, gone in %v", leftOf(l.SoftLeft), rounded(l.Left)))
}

// String says what Redis holds.
func (r ExplainedRecord) String() string {
	if !r.Asked {
		return "not known"
	}
	hard := ""
	if r.Size > 0 {
		hard = "no hard TTL"
		if r.HardLeft >= 0 {
			hard = "hard TTL " + leftOf(r.HardLeft)
		}
	}
	return join(r.State,
		when(r.Reason != "", r.Reason), when(r.Absent, "absence"), when(r.Dirty, "not in the sink yet"),
		when(r.Intents > 0, fmt.Sprintf("%d open writes, for %v at most", r.Intents, rounded(r.IntentsLeft))),
		when(r.DeadLetter > 0, fmt.Sprintf("dead letter of version %d", r.DeadLetter)),
		since("age", r.Age), when(r.SoftLeft != 0, "soft TTL "+leftOf(r.SoftLeft)), hard, r.body())
}

// body is what there is to say of a record with a body, or of any bytes.
func (r ExplainedRecord) body() string {
	if r.Payload == 0 && !r.Absent {
		return when(r.Size > 0, fmt.Sprintf("%d bytes", r.Size))
	}
	return join(fmt.Sprintf("%d bytes, %d of them the value", r.Size, r.Payload),
		fmt.Sprintf("codec %d, schema %d", r.Codec, r.Schema), when(r.Version > 0, fmt.Sprintf("version %d", r.Version)))
}

func (r ExplainedRecord) cost() string {
	if r.LoadCost == 0 {
		return ""
	}
	return fmt.Sprintf("took %v, on average %v", r.LoadCost, r.MeanCost)
}

func (r ExplainedRecord) tokens() string {
	all := []string{when(r.Clear != "", "clear "+r.Clear)}
	for _, t := range r.Tags {
		state := "current"
		if !t.Valid {
			state = "replaced"
		}
		all = append(all, "tag "+t.Name+" "+state)
	}
	return join(all...)
}

// String says who may load.
func (l ExplainedLease) String() string {
	switch {
	case l.Backoff && l.Left > 0:
		return fmt.Sprintf("back-off for %v", rounded(l.Left))
	case l.Backoff, l.Holder == "":
		return "none"
	case l.Left > 0:
		return fmt.Sprintf("%s, for %v", l.Holder, rounded(l.Left))
	}
	return fmt.Sprintf("%s, over since %v", l.Holder, rounded(-l.Left))
}

func leftOf(d time.Duration) string {
	if d <= 0 {
		return fmt.Sprintf("over since %v", rounded(-d))
	}
	return fmt.Sprintf("%v left", rounded(d))
}

func since(what string, d time.Duration) string {
	return when(d > 0, fmt.Sprintf("%s %v", what, rounded(d)))
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func when(ok bool, text string) string {
	if !ok {
		return ""
	}
	return text
}

// join lists the parts that are not empty.
func join(parts ...string) string {
	var all []string
	for _, p := range parts {
		if p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, ", ")
}
