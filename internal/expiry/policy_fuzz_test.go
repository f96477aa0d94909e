package expiry_test

import (
	"math"
	"testing"
	"time"

	"github.com/larder-go/cache/internal/expiry"
)

// FuzzPolicy holds every valid class to the bounds that the protocol builds on:
// jitter only shortens, and what is sent to Redis is a whole, positive number
// of milliseconds that neither Redis nor an addition overflows.
func FuzzPolicy(f *testing.F) {
	f.Add(int64(time.Minute), 0.0, false, int64(0), int64(0), int64(0),
		int64(0), 0.5, int64(time.Second), int64(time.Second))
	f.Add(int64(1), 1.0, true, int64(-1), int64(-1), int64(-1), int64(-1), 0.0, int64(-1), int64(-1))
	f.Add(int64(math.MaxInt64), math.Nextafter(1, 0), true, int64(math.MaxInt64), int64(0), int64(math.MaxInt64),
		int64(math.MaxInt64), math.Nextafter(1, 0), int64(math.MaxInt64), int64(math.MaxInt64))
	f.Add(int64(time.Millisecond), math.NaN(), false, int64(math.MinInt64), int64(math.MinInt64), int64(math.MinInt64),
		int64(math.MinInt64), 0.999, int64(math.MinInt64), int64(math.MinInt64))

	f.Fuzz(func(t *testing.T, fresh int64, jitter float64, sliding bool, maxAge, swr, sie, absent int64,
		u float64, timeout, cost int64,
	) {
		ttl := &expiry.Policy{
			Fresh: time.Duration(fresh), Jitter: jitter, Sliding: sliding, MaxAge: time.Duration(maxAge),
			StaleWhileRevalidate: time.Duration(swr), StaleIfError: time.Duration(sie), Absent: time.Duration(absent),
		}
		valid := fresh >= 1e6 && jitter < 1 && swr >= 0 && sie >= 0 && absent >= 0 &&
			(maxAge == 0 || maxAge >= fresh) && (!sliding || maxAge != 0 && swr == 0)
		if got := ttl.Validate() == nil; got != valid {
			t.Fatalf("valid = %v, want %v: %+v", got, valid, *ttl)
		}
		if !valid || !(u >= 0 && u < 1) {
			return
		}
		soft := ttl.Soft(u)
		checkSoft(t, ttl, soft)
		checkGrace(t, ttl, soft, time.Duration(timeout), time.Duration(cost))
	})
}

func checkSoft(t *testing.T, ttl *expiry.Policy, soft time.Duration) {
	t.Helper()
	if soft < time.Millisecond || soft > ttl.Fresh || soft > expiry.Max || soft%time.Millisecond != 0 {
		t.Fatalf("soft = %v of %+v", soft, *ttl)
	}
	jitter := ttl.Jitter
	if jitter == 0 {
		jitter = 0.1
	}
	// The floor of the jitter, less a millisecond of rounding and what a
	// float64 of a century is off by.
	whole := min(ttl.Fresh, expiry.Max)
	least := float64(whole)*(1-max(jitter, 0)) - float64(time.Millisecond) - 4096
	if float64(soft) < least {
		t.Fatalf("soft = %v is below %v, of %+v", soft, time.Duration(least), *ttl)
	}
}

func checkGrace(t *testing.T, ttl *expiry.Policy, soft, timeout, cost time.Duration) {
	t.Helper()
	grace := ttl.Grace(timeout, cost)
	if grace < 0 || grace > expiry.Max || grace%time.Millisecond != 0 {
		t.Fatalf("grace = %v of %+v", grace, *ttl)
	}
	if want := min(max(ttl.StaleWhileRevalidate, ttl.StaleIfError), expiry.Max); grace < want {
		t.Fatalf("grace = %v closes a window of %v", grace, want)
	}
	if want := min(timeout, time.Second, expiry.Max); grace < want {
		t.Fatalf("grace = %v leaves no room for a refresh of %v", grace, want)
	}
	hard := expiry.AddDurations(soft, grace)
	if hard != soft+grace || hard <= 0 {
		t.Fatalf("%v + %v overflows", soft, grace)
	}
	// A record of the year 2080: time and PX still have 13 digits.
	year2080 := time.Date(2080, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	if year2080+hard.Milliseconds() > 9_999_999_999_999 {
		t.Fatalf("PX %d does not fit", hard.Milliseconds())
	}
}
