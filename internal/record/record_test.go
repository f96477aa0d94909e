package record_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/record"
)

const minute = time.Minute

// class serves stale for a minute, and for five when a load fails; its entries may be
// twenty minutes old.
var class = &expiry.Policy{
	Fresh: 10 * minute, StaleWhileRevalidate: minute, StaleIfError: 5 * minute, MaxAge: 20 * minute, Absent: minute,
}

// judge is what a reader of codec 1 and schema 3 makes of what was found.
func judge(f record.Found, class *expiry.Policy, now int64) record.Record {
	r := record.Reader{Codec: 1, Schema: 3, Class: class, Now: now}
	return r.Judge(&f)
}

// entry is an entry of such a reader's, of so much left.
func entry(left time.Duration, change ...func(*record.Found)) record.Found {
	f := record.Found{
		Header: envelope.Header{Kind: envelope.Value},
		Body:   envelope.Body{Codec: 1, Schema: 3, Soft: 10 * minute, Grace: 10 * minute, LoadedAt: 1},
		Left:   left, Timed: true,
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func dirty(f *record.Found) { f.Header.Kind, f.Left, f.Timed = envelope.Dirty, 0, false }

func absent(f *record.Found) { f.Body.Absent, f.Body.Codec = true, 0 }

func codec(id uint8) func(*record.Found) { return func(f *record.Found) { f.Body.Codec = id } }

func schema(n uint16) func(*record.Found) { return func(f *record.Found) { f.Body.Schema = n } }

func failed(err error) func(*record.Found) {
	return func(f *record.Found) { f.Body, f.Err = envelope.Body{}, fmt.Errorf("%w: so", err) }
}

func kind(k envelope.Kind) record.Found {
	return record.Found{Header: envelope.Header{Kind: k}, Err: envelope.ErrNoBody}
}

func TestEachRecordHasItsState(t *testing.T) {
	tests := []struct {
		name  string
		found record.Found
		want  record.State
		why   record.Reason
	}{
		{"none", record.Found{Missing: true}, record.Missing, record.Usable},
		{"another type", record.Found{Foreign: true}, record.Foreign, record.OtherType},
		{"bytes of somebody else", record.Found{Err: envelope.ErrForeign}, record.Foreign, record.OtherBytes},
		{"a lease", kind(envelope.Lease), record.Missing, record.Usable},
		{"a back-off", kind(envelope.Backoff), record.Missing, record.Usable},
		{"an open write", kind(envelope.Intent), record.Bypassed, record.BeingWritten},
		{"a newer format", entry(minute, failed(envelope.ErrNewer)), record.Bypassed, record.NewerProgram},
		{"a newer schema", entry(minute, schema(4)), record.Bypassed, record.NewerSchema},
		{"an older schema", entry(minute, schema(2)), record.Invalid, record.OlderSchema},
		{"another codec", entry(minute, codec(9)), record.Invalid, record.OtherCodec},
		{"damaged", entry(minute, failed(envelope.ErrCorrupt)), record.Invalid, record.Damaged},
		{"cut short", entry(minute, failed(envelope.ErrTruncated)), record.Invalid, record.Damaged},
		{"not flushed", entry(0, dirty), record.Fresh, record.Usable},
		{"a tombstone that is not flushed", entry(0, dirty, absent), record.Fresh, record.Usable},
		{"not flushed, of another codec", entry(0, dirty, codec(9)), record.Bypassed, record.OtherCodec},
		{"not flushed, of a newer schema", entry(0, dirty, schema(4)), record.Bypassed, record.NewerSchema},
		{"not flushed, of an older schema", entry(0, dirty, schema(2)), record.Bypassed, record.OlderSchema},
		{"a tombstone that is not flushed, of an older schema", entry(0, dirty, absent, schema(2)), record.Fresh, record.Usable},
		{"not flushed, damaged", entry(0, dirty, failed(envelope.ErrCorrupt)), record.Bypassed, record.Damaged},
		{"fresh to the last", entry(1), record.Fresh, record.Usable},
		{"of which nobody knows what is left", entry(0, func(f *record.Found) { f.Timed = false }), record.Fresh, record.Usable},
		{"an absence", entry(1, absent), record.Fresh, record.Usable},
		{"an absence of before", entry(0, absent), record.Expired, record.Usable},
		{"over just now", entry(0), record.Stale, record.Usable},
		{"over for almost a minute", entry(1 - minute), record.Stale, record.Usable},
		{"over for a minute", entry(-minute), record.StaleIfError, record.Usable},
		{"over for almost five minutes", entry(1 - 5*minute), record.StaleIfError, record.Usable},
		{"over for five minutes", entry(-5 * minute), record.Expired, record.Usable},
		{"over for longer than its own grace", entry(-minute/2, func(f *record.Found) { f.Body.Grace = minute / 2 }), record.Expired, record.Usable},
		{"over for the grace that a refresh takes", entry(-2*minute, func(f *record.Found) { f.Body.Grace = 2 * minute }), record.Expired, record.Usable},
		{"at the end of MaxAge", entry(-3*minute, func(f *record.Found) { f.Body.Soft = 17 * minute }), record.StaleIfError, record.Usable},
		{"past MaxAge", entry(-3*minute, func(f *record.Found) { f.Body.Soft = 17*minute + 1 }), record.Invalid, record.PastMaxAge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := judge(test.found, class, 0)
			assert.Equal(t, test.want, got.State)
			assert.Equal(t, test.why, got.Why)
			assert.Equal(t, test.found.Body.Absent, got.Absent)
		})
	}
}

func TestASlidingEntrysAgeIsCountedFromItsLoad(t *testing.T) {
	sliding := &expiry.Policy{Fresh: 10 * minute, Sliding: true, MaxAge: 20 * minute, StaleIfError: 5 * minute}
	now := 1 + (20 * minute).Milliseconds()
	for name, test := range map[string]struct {
		left time.Duration
		now  int64
		want record.State
		age  time.Duration
	}{
		"as old as it may be":               {left: minute, now: now, want: record.Fresh, age: 20 * minute},
		"older than that":                   {left: minute, now: now + 1, want: record.Invalid, age: 20*minute + time.Millisecond},
		"stale":                             {left: -minute, now: now, want: record.StaleIfError, age: 20 * minute},
		"in use, and nobody knows the time": {left: minute, want: record.Fresh},
		"over, and nobody knows the time":   {left: 0, want: record.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(entry(test.left), sliding, test.now)
			assert.Equal(t, test.want, got.State)
			assert.Equal(t, test.age, got.Age())
		})
	}
}

func TestXFetchDrawsAgainstWhatEndsTheEntry(t *testing.T) {
	sliding := &expiry.Policy{Fresh: 10 * minute, Sliding: true, MaxAge: 20 * minute}
	now := 1 + (5 * minute).Milliseconds()
	for name, test := range map[string]struct {
		found      record.Found
		class      *expiry.Policy
		now        int64
		left, soft time.Duration
		ok         bool
	}{
		"its soft TTL":                             {found: entry(minute), class: class, left: minute, soft: 10 * minute, ok: true},
		"MaxAge, if it slides":                     {found: entry(minute), class: sliding, now: now, left: 15 * minute, soft: 20 * minute, ok: true},
		"nothing, if it slides and nobody knows":   {found: entry(minute), class: sliding, left: 20 * minute, soft: 20 * minute},
		"the soft TTL of an absence, never slid":   {found: entry(minute, absent), class: sliding, left: minute, soft: 10 * minute, ok: true},
		"nothing, where nobody knows what is left": {found: entry(0, func(f *record.Found) { f.Timed = false }), class: class},
		"nothing, of a write that is not flushed":  {found: entry(0, dirty), class: class},
	} {
		t.Run(name, func(t *testing.T) {
			r := judge(test.found, test.class, test.now)
			left, soft, ok := r.Remaining(test.class)
			assert.Equal(t, test.left, left)
			assert.Equal(t, test.soft, soft)
			assert.Equal(t, test.ok, ok)
		})
	}
}

func TestWhatAStateAllows(t *testing.T) {
	for state, allows := range map[record.State]struct{ serves, replaceable bool }{
		record.Missing:      {false, true},
		record.Invalid:      {false, true},
		record.Bypassed:     {false, false},
		record.Foreign:      {false, false},
		record.Fresh:        {true, true},
		record.Stale:        {true, true},
		record.StaleIfError: {false, true},
		record.Expired:      {false, true},
	} {
		assert.Equal(t, allows.serves, state.Serves(), "%d is served", state)
		assert.Equal(t, allows.replaceable, state.Replaceable(), "%d is replaced", state)
	}
}

func TestAWriteThatIsNotFlushedDependsOnNoToken(t *testing.T) {
	r := judge(entry(minute), class, 0)
	assert.True(t, r.Dependent())
	r.Revoke()
	assert.Equal(t, record.Invalid, r.State)
	assert.Equal(t, record.Revoked, r.Why)
	assert.False(t, r.Why.Corrupt(), "its bytes are in order")
	assert.False(t, r.Dependent(), "it is invalid already")

	r = judge(entry(0, dirty), class, 0)
	assert.False(t, r.Dependent())
	r.Undecodable()
	assert.Equal(t, record.Bypassed, r.State, "it must reach the sink")

	r = judge(entry(minute), class, 0)
	r.Undecodable()
	assert.Equal(t, record.Invalid, r.State)
	assert.Equal(t, record.Undecodable, r.Why)
	assert.True(t, r.Why.Corrupt())
}

func TestAReadersWindowsAreThoseOfExpireToo(t *testing.T) {
	r := record.Reader{Class: class, Window: 7 * minute}
	assert.Equal(t, record.Windows{Stale: 7 * minute}, r.Windows(), "another class's window is longer")
	r.Window = 0
	assert.Equal(t, record.Windows{Stale: 5 * minute}, r.Windows())
	r.Class = &expiry.Policy{Fresh: minute, Sliding: true, MaxAge: time.Hour}
	assert.Equal(t, record.Windows{MaxAge: time.Hour}, r.Windows())
}

func TestJudgingAllocatesNothing(t *testing.T) {
	f, r := entry(minute), record.Reader{Codec: 1, Schema: 3, Class: class}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		got := r.Judge(&f)
		_ = got.Age()
	}))
}
