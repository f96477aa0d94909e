package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// scheduleMachine drives the scripts through random steps of callers who put, workers that
// claim, write, settle early, late and twice, or die, and an operator; and checks after each
// that all that must be is.
type scheduleMachine struct {
	*schedule
	values map[string]*history
	used   []store.Claimed // by whomever, however long ago
}

// history is what is known of a key.
type history struct {
	put, sink uint64 // versions: the last that was acknowledged, and what the sink has
	given     uint64 // the highest that it ever had
	dropped   uint64 // by the operator, who may
}

const machineRoom = 3

var machineKeys = rapid.SampledFrom([]string{"a", "b", "c", "d"})

func (m *scheduleMachine) of(key string) *history {
	if m.values[key] == nil {
		m.values[key] = &history{}
	}
	return m.values[key]
}

// names are the members of a sorted set.
func (m *scheduleMachine) names(set string) map[string]bool {
	all := map[string]bool{}
	for _, name := range m.redis.ZRange(m.ctx, set, 0, -1).Val() {
		all[name] = true
	}
	return all
}

func (m *scheduleMachine) randomPut(t *rapid.T) {
	key := machineKeys.Draw(t, "key")
	dirty, letters := m.names(part.Dirty), m.names(part.Letters)
	full := len(dirty)+len(letters) >= machineRoom && !dirty[key] && !letters[key]
	p := m.tryPut(key, bodies.Draw(t, "body"), machineRoom)
	require.NoError(t, p.Err)
	require.Equal(t, full, p.Full)
	if !full {
		require.Greater(t, p.Version, m.of(key).given, "versions of a key grow")
		m.of(key).put, m.of(key).given = p.Version, p.Version
	}
}

// randomClaim is a worker that reads what it has claimed, for a moment or for long. One who
// is not heard of again has died.
func (m *scheduleMachine) randomClaim(t *rapid.T) {
	lease := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Hour}).Draw(t, "lease")
	taken := map[string]int64{}
	for key := range m.names(part.Schedule) {
		taken[key] = m.due(key)
	}
	for _, k := range m.claim(rapid.IntRange(1, 3).Draw(t, "count"), lease) {
		require.Contains(t, taken, k.Key)
		until, err := strconv.ParseInt(k.Claim, 10, 64)
		require.NoError(t, err)
		require.Greater(t, until, taken[k.Key], "it was due, and its time moves on")
		m.used = append(m.used, k)
	}
}

// randomWrite is a worker that writes what it has read to the sink, maybe long ago.
func (m *scheduleMachine) randomWrite(t *rapid.T) {
	if k, ok := m.anyUsed(t); ok && k.Version != "" {
		m.of(k.Key).sink = max(m.of(k.Key).sink, hex(t, k.Version))
	}
}

func hex(t require.TestingT, version string) uint64 {
	v, err := strconv.ParseUint(version, 16, 64)
	require.NoError(t, err)
	return v
}

func (m *scheduleMachine) anyUsed(t *rapid.T) (store.Claimed, bool) {
	if len(m.used) == 0 {
		return store.Claimed{}, false
	}
	return rapid.SampledFrom(m.used).Draw(t, "claim"), true
}

// holds reports whether the claim is the last one on its key.
func (m *scheduleMachine) holds(k store.Claimed) bool {
	return strconv.FormatInt(m.due(k.Key), 10) == k.Claim
}

// randomAck acknowledges what the sink has, once or twice.
func (m *scheduleMachine) randomAck(t *rapid.T) {
	k, ok := m.anyUsed(t)
	if !ok || k.Version == "" || m.of(k.Key).sink < hex(t, k.Version) {
		return
	}
	ttl := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "ttl")
	for range rapid.IntRange(1, 2).Draw(t, "sent") {
		want := store.AckNothing
		if h, _ := m.record(part.Record(k.Key)); h.Kind == 'D' {
			if want = store.AckClean; h.Version > hex(t, k.Version) {
				want = store.AckNewer
			}
		}
		require.Equal(t, want, m.ack(k, ttl))
	}
}

func (m *scheduleMachine) randomRetry(t *rapid.T) {
	k, ok := m.anyUsed(t)
	if !ok {
		return
	}
	holds := m.holds(k)
	until := m.retry(k, rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "delay"), rapid.Bool().Draw(t, "counts") && k.Version != "")
	require.Equal(t, holds, until != "")
}

func (m *scheduleMachine) randomDeath(t *rapid.T) {
	k, ok := m.anyUsed(t)
	if !ok {
		return
	}
	h, _ := m.record(part.Record(k.Key))
	want := store.DeadLost
	if m.holds(k) {
		if want = store.DeadLetter; h.Version != hex(t, k.Version) {
			want = store.DeadNewer
		}
	}
	require.Equal(t, want, m.dead(k, "no"))
}

func (m *scheduleMachine) anyLetter(t *rapid.T) (store.Letter, bool) {
	all := m.letters()
	if len(all) == 0 {
		return store.Letter{}, false
	}
	return rapid.SampledFrom(all).Draw(t, "letter"), true
}

func (m *scheduleMachine) randomRequeue(t *rapid.T) {
	l, ok := m.anyLetter(t)
	if !ok {
		return
	}
	mark, _ := m.record(part.Letter + l.Key)
	if mark.Until == 2 {
		require.ErrorIs(t, m.requeue(l), store.ErrNewer)
		return
	}
	require.NoError(t, m.requeue(l))
	require.ErrorIs(t, m.requeue(l), store.ErrNoLetter)
}

func (m *scheduleMachine) randomDrop(t *rapid.T) {
	if l, ok := m.anyLetter(t); ok {
		require.NoError(t, m.drop(l))
		m.of(l.Key).dropped = hex(t, l.Version)
	}
}

func (m *scheduleMachine) randomOvertake(t *rapid.T) {
	key := machineKeys.Draw(t, "key")
	dirty, err := m.store.Overtake(m.ctx, part, key)
	require.NoError(t, err)
	require.Equal(t, m.names(part.Dirty)[key], dirty)
}

// check is about everything that is there.
func (m *scheduleMachine) check(t *rapid.T) {
	dirty, letters := m.names(part.Dirty), m.names(part.Letters)
	require.Equal(t, dirty, m.names(part.Schedule))
	require.LessOrEqual(t, len(dirty)+len(letters), machineRoom)
	require.Len(t, m.redis.HKeys(m.ctx, part.Reasons).Val(), len(letters))
	for _, key := range m.redis.HKeys(m.ctx, part.Tries).Val() {
		require.True(t, dirty[key], "tries of a key that waits for none")
	}
	for _, set := range []string{part.Dirty, part.Schedule, part.Tries, part.Letters, part.Reasons, part.Clock} {
		require.Negative(t, m.redis.PTTL(m.ctx, set).Val(), set)
	}
	for key, h := range m.values {
		live, _ := m.record(part.Record(key))
		letter, _ := m.record(part.Letter + key)
		require.Equal(t, dirty[key], live.Kind == 'D', key)
		require.Equal(t, letters[key], letter.Kind == 'D', key)
		require.False(t, dirty[key] && letters[key], key)
		if dirty[key] {
			require.Negative(t, m.redis.PTTL(m.ctx, part.Record(key)).Val(), key)
		}
		require.LessOrEqual(t, max(live.Version, letter.Version), h.given, key)
		safe := max(h.sink, h.dropped)
		if dirty[key] {
			safe = max(safe, live.Version)
		} else if letters[key] {
			safe = max(safe, letter.Version)
		}
		require.GreaterOrEqual(t, safe, h.put, "an acknowledged put of %s is in the sink, dirty or a letter", key)
	}
}

// conformSchedule runs the machine. pass lets time go by.
func conformSchedule(t *testing.T, c *redis.Client, pass func(time.Duration)) {
	t.Helper()
	s := open(t, c)
	rapid.Check(t, func(r *rapid.T) {
		require.NoError(r, c.FlushAll(t.Context()).Err())
		m := &scheduleMachine{schedule: &schedule{t: r, ctx: t.Context(), store: s, redis: c}, values: map[string]*history{}}
		r.Repeat(map[string]func(*rapid.T){
			"": m.check, "put": m.randomPut, "put again": m.randomPut, "claim": m.randomClaim, "claim again": m.randomClaim,
			"write": m.randomWrite, "write again": m.randomWrite, "ack": m.randomAck, "ack again": m.randomAck,
			"retry": m.randomRetry, "dead": m.randomDeath, "requeue": m.randomRequeue, "drop": m.randomDrop, "overtake": m.randomOvertake,
			"time": func(t *rapid.T) { pass(time.Duration(rapid.IntRange(1, 3).Draw(t, "ms")) * time.Millisecond) },
		})
	})
}

func TestTheScheduleConformsOnMiniredis(t *testing.T) {
	t.Parallel()
	m := mini(t)
	now := epoch
	conformSchedule(t, redistest.Dial(t, m.Addr()), func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
	})
}

func TestTheScheduleConformsOnRedis(t *testing.T) {
	t.Parallel()
	conformSchedule(t, redistest.Single(t).Client(t), func(time.Duration) {}) // it goes by itself
}
