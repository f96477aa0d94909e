package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// clusterTellsTime: a client of several nodes sends TIME to any of them, so each is asked
// by a script on a key of its own; from then on its records are read without PTTLs.
func clusterTellsTime(t *testing.T, cluster *redistest.Cluster) {
	s := open(t, cluster.Client(t, forCache))
	ctx := t.Context()
	all := keys(60) // of all nodes
	_, err := s.ReadMany(ctx, all)
	require.NoError(t, err)
	for _, key := range all {
		earliest := s.Earliest(ctx, key)
		if earliest == 0 { // more than a second ago
			_, err := s.ReadMany(ctx, all)
			require.NoError(t, err)
			earliest = s.Earliest(ctx, key)
		}
		now := cluster.Owner(key).Client(t).Time(ctx).Val().UnixMilli()
		assert.Positive(t, earliest, key)
		assert.LessOrEqual(t, earliest, now, key)
	}
	_, err = s.Set(ctx, "k", store.Entry{TTL: time.Hour, CID: alice, Body: []byte("body")})
	require.NoError(t, err)
	rec, err := s.Read(ctx, "k")
	require.NoError(t, err)
	assert.True(t, rec.Timed(), "read by GET")
	assert.EqualValues(t, -1, rec.PTTL)
}

// What is left of an entry is bounded by what is under its checksum, whatever its header
// says; the load time is bounded by nothing but the class where the class slides.
func TestWhatIsLeftIsNeverMoreThanTheSealedTimesAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const now = 1_800_000_000_000 // ms
		minute := time.Minute.Milliseconds()
		for name, test := range map[string]struct {
			fresh, loaded int64
			windows       store.Windows
			want          time.Duration
		}{
			"the soft deadline":                         {fresh: now + minute, loaded: now, want: time.Minute},
			"a deadline beyond the soft TTL":            {fresh: now + 100*minute, loaded: now - minute, want: 9 * time.Minute},
			"a deadline that nobody wrote":              {loaded: now - minute, want: 9 * time.Minute},
			"a load time that nobody knows":             {fresh: now + minute, want: time.Minute},
			"neither":                                   {want: 0},
			"a load in what Redis takes for the future": {fresh: now + 100*minute, loaded: now + 90*minute, want: 10 * time.Minute},
			"a slide":                    {fresh: now + 10*minute, loaded: now - 20*minute, windows: store.Windows{MaxAge: time.Hour}, want: 10 * time.Minute},
			"a slide that MaxAge ends":   {fresh: now + 10*minute, loaded: now - 55*minute, windows: store.Windows{MaxAge: time.Hour}, want: 5 * time.Minute},
			"what Expire has made stale": {fresh: now - minute, loaded: now - 2*minute, want: -time.Minute},
		} {
			rec := store.TimedRecord(now * 1000)
			left, known := rec.Left(&envelope.Header{Kind: envelope.Value, Fresh: test.fresh},
				&envelope.Body{Soft: 10 * time.Minute, Grace: time.Hour, LoadedAt: test.loaded}, test.windows)
			assert.True(t, known, name)
			assert.Equal(t, test.want, left, name)
		}
	})
}

func TestWhatOneReplyHasTaughtIsForgottenAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &store.Lesson{}
		assert.False(t, l.Holds())
		l.Learn()
		time.Sleep(59 * time.Second)
		assert.True(t, l.Holds())
		time.Sleep(time.Second)
		assert.False(t, l.Holds())
	})
}
