package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// The commit is on its way for a while, and Redis counts the record's life from its
// arrival: by the load time there is less left than PTTL says.
func TestAnEntryIsNotFreshForLongerBecauseItsCommitWasSlow(t *testing.T) {
	const soft, grace, late = 700 * time.Millisecond, time.Second, 100 * time.Millisecond
	for name, imitation := range map[string]bool{"the clock is asked for beside the read": false, "there is no clock": true} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Single(t)
			s := open(t, srv.Client(t))
			g, err := acquire(t.Context(), s, "k", store.Acquire{Token: alice, Lease: time.Second, Retain: 5 * time.Second})
			require.NoError(t, err)
			beside := srv.Client(t)
			began := beside.Time(t.Context()).Val()
			require.Eventually(t, func() bool {
				return beside.Time(t.Context()).Val().Sub(began) >= late
			}, patience, 5*time.Millisecond)
			_, _, err = commit(t.Context(), s, "k", store.Commit{Token: alice, TTL: soft + grace, Soft: soft, Record: room("body")})
			require.NoError(t, err)
			r := open(t, srv.Client(t))
			if imitation {
				store.Learn(r, conn.IsOther)
			}
			records := make([]store.Record, 2)
			records[0], err = read(t.Context(), r, "k")
			require.NoError(t, err)
			both, err := readAll(t.Context(), r, "k", "none")
			require.NoError(t, err)
			records[1] = both[0]
			for i, rec := range records {
				require.Equal(t, !imitation, rec.Clock != nil, i)
				h, err := envelope.ParseHeader(rec.Data)
				require.NoError(t, err)
				left, known := store.Left(&rec, &h, &envelope.Body{Soft: soft, Grace: grace, LoadedAt: g.Now}, store.Windows{})
				assert.True(t, known, i)
				assert.LessOrEqual(t, left, soft-late+time.Millisecond, i)
			}
		})
	}
}

// Where nobody knows the clock what is left is told too low rather than too high.
func TestWhatIsLeftByPTTLIsNeverTooLong(t *testing.T) {
	const now, soft = 1_800_000_000_000, 10 * time.Minute // ms
	minute := time.Minute.Milliseconds()
	sliding := store.Windows{MaxAge: time.Hour, Stale: 20 * time.Minute}
	for name, test := range map[string]struct {
		fresh, loaded int64
		pttl, grace   time.Duration
		windows       store.Windows
		want          time.Duration
	}{
		"a load": {fresh: now + 9*minute, loaded: now - minute, pttl: 10 * time.Minute, grace: time.Minute, want: 9 * time.Minute},
		"a load whose commit was on its way for a minute": {
			fresh: now + 10*minute, loaded: now - minute, pttl: 11 * time.Minute, grace: time.Minute, want: 9 * time.Minute,
		},
		"a load by a class whose grace is shorter than the window": {
			fresh: now + 9*minute, loaded: now - minute, pttl: 10 * time.Minute, grace: time.Minute,
			windows: store.Windows{Stale: 20 * time.Minute}, want: 9 * time.Minute,
		},
		"an expiry of somebody else's": {fresh: now + 9*minute, loaded: now - minute, pttl: time.Hour, grace: time.Minute, want: soft},
		"a Set":                        {fresh: now + 10*minute, pttl: 11 * time.Minute, grace: time.Minute, want: 10 * time.Minute},
		"a Set that Expire has made stale": {
			fresh: now - 1, pttl: 20 * time.Minute, grace: time.Second, windows: store.Windows{Stale: 20 * time.Minute}, want: 0,
		},
		"an entry without a deadline, so Expire was not there": {
			pttl: 10 * time.Minute, grace: time.Minute, windows: store.Windows{Stale: 20 * time.Minute}, want: 9 * time.Minute,
		},
		"what Expire has made stale": {
			fresh: now - 1, loaded: now - minute, pttl: 20 * time.Minute, grace: time.Second,
			windows: store.Windows{Stale: 20 * time.Minute}, want: 0,
		},
		"what Expire has made stale shortly before its time": {
			fresh: now - 1, loaded: now - 10*minute + 200, pttl: 20 * time.Minute, grace: time.Second,
			windows: store.Windows{Stale: 20 * time.Minute}, want: 0,
		},
		"what Expire has made stale a minute ago": {
			fresh: now - minute - 1, loaded: now - 2*minute, pttl: 19 * time.Minute, grace: time.Second,
			windows: store.Windows{Stale: 20 * time.Minute}, want: -time.Minute,
		},
		"a slide": {
			fresh: now + 10*minute, loaded: now - 20*minute, pttl: 30 * time.Minute, grace: 20 * time.Minute, windows: sliding, want: soft,
		},
		"a slide that MaxAge ends": {
			fresh: now + 10*minute, loaded: now - 55*minute, pttl: 30 * time.Minute, grace: 20 * time.Minute, windows: sliding, want: 5 * time.Minute,
		},
		"a slid entry that Expire has made stale": {
			fresh: now - 1, loaded: now - 20*minute, pttl: 20 * time.Minute, grace: time.Second, windows: sliding, want: 0,
		},
	} {
		rec := &store.Record{PTTL: test.pttl}
		left, known := store.Left(rec, &envelope.Header{Kind: envelope.Value, Fresh: test.fresh},
			&envelope.Body{Soft: soft, Grace: test.grace, LoadedAt: test.loaded}, test.windows)
		assert.True(t, known, name)
		assert.Equal(t, test.want, left, name)
	}
}

// On a Redis whose clock stands still, as that of a test may, the soft deadline is
// before what the sealed times say by as much as the load and its commit took, however
// busy the machine is. That is not Expire.
func TestALoadOnAClockThatStandsStillIsNoExpire(t *testing.T) {
	const soft, grace, took = 10 * time.Minute, time.Minute, 2 * time.Second
	rec := &store.Record{PTTL: soft + grace - took}
	h := envelope.Header{Kind: envelope.Value, Fresh: 1_000_000 + (soft - took).Milliseconds()}
	left, known := store.Left(rec, &h, &envelope.Body{Soft: soft, Grace: grace, LoadedAt: 1_000_000, Delta: took / 2}, store.Windows{Stale: grace})
	assert.True(t, known)
	assert.Equal(t, soft-took, left)
}
