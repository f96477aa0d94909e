package store_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// clockAt is a hook that answers each pipeline as a Redis does where it is that time.
type clockAt struct{ time.Time }

func (clockAt) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (clockAt) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (at clockAt) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			switch cmd := cmd.(type) {
			case *redis.TimeCmd:
				cmd.SetVal(at.Time)
			case *redis.StringCmd:
				cmd.SetVal("redis_version:7.0.15\r\n")
			}
		}
		return nil
	}
}

// timedRecord is a record of a node where it is that time.
func timedRecord(t *testing.T, at time.Time) *store.Record {
	t.Helper()
	c := redis.NewClient(&redis.Options{ContextTimeoutEnabled: true})
	defer func() { require.NoError(t, c.Close()) }()
	c.AddHook(clockAt{at})
	s := store.New(c, store.Options{})
	defer func() { require.NoError(t, s.Close()) }()
	rec, err := read(t.Context(), s, "k")
	require.NoError(t, err)
	require.NotNil(t, rec.Clock)
	return &rec
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
			rec := timedRecord(t, time.UnixMilli(now))
			left, known := store.Left(rec, &envelope.Header{Kind: envelope.Value, Fresh: test.fresh},
				&envelope.Body{Soft: 10 * time.Minute, Grace: time.Hour, LoadedAt: test.loaded}, test.windows)
			assert.True(t, known, name)
			assert.Equal(t, test.want, left, name)
		}
	})
}
