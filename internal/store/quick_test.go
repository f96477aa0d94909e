package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// calls is how often the server was asked for command, by scripts too.
func calls(t *testing.T, c *redis.Client, command string) string {
	t.Helper()
	info, err := c.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	_, after, _ := strings.Cut(info, "cmdstat_"+command+":")
	stat, _, _ := strings.Cut(after, ",")
	return stat
}

// granted is a commit by t under the lease that it was granted.
func granted(t *testing.T, s *store.Store, key string, token envelope.Token) store.Commit {
	t.Helper()
	g, err := acquire(t.Context(), s, key, lead(token, envelope.Token{}))
	require.NoError(t, err)
	require.Equal(t, store.Granted, g.Answer)
	c := fill(token)
	c.Until, c.Now = g.Now+time.Minute.Milliseconds(), g.Now
	return c
}

func TestALoadOfWhatIsNotThereTakesTheShortWay(t *testing.T) {
	c := redistest.Single(t).Client(t)
	s := open(t, c)
	store.Learn(s, conn.IsRedis)
	before := calls(t, c, "setrange")
	verdict, _, err := commit(t.Context(), s, "one", granted(t, s, "one", alice))
	require.NoError(t, err)
	require.Equal(t, store.Committed, verdict)
	commits := []store.Commit{granted(t, s, "k", alice), granted(t, s, "l", bob)}
	verdicts, _, errs := commitMany(t.Context(), s, []string{"k", "l"}, commits)
	require.Equal(t, make([]error, 2), errs)
	require.Equal(t, []store.Verdict{store.Committed, store.Committed}, verdicts)
	assert.Equal(t, before, calls(t, c, "setrange"), "the writer stamps the entries")
	assert.Equal(t, "calls=3", calls(t, c, "getrange"), "a lease each is compared, and nothing read to be granted one")
}

// A commit that knows its lease to the byte is as one that knows its token only: pair does
// all to two keys alike, and commits to one of them in each way.
type pair struct {
	ctx    context.Context //nolint:containedctx // of one run
	client *redis.Client
	store  *store.Store
	mini   *miniredis.Miniredis // nil: a real server
	now    int64                // of the miniredis
	until  int64                // of the lease that alice was granted last; 0: none
}

var pairKeys = []string{"knows its lease", "knows its token"}

func (p *pair) both(t *rapid.T, do func(key string) (any, error)) any {
	one, err := do(pairKeys[0])
	require.NoError(t, err)
	other, err := do(pairKeys[1])
	require.NoError(t, err)
	require.Equal(t, one, other)
	return one
}

func (p *pair) acquire(t *rapid.T) {
	token := parties.Draw(t, "token")
	asks := []store.Acquire{lead(token, envelope.Token{}), lead(token, envelope.Token{})}
	for i := range asks {
		asks[i].Key, asks[i].Seen = pairKeys[i], alice
	}
	p.store.Acquire(p.ctx, asks, nil)
	require.NoError(t, asks[0].Err)
	require.NoError(t, asks[1].Err)
	require.Equal(t, asks[0].Grant.Answer, asks[1].Grant.Answer)
	if token == alice && asks[0].Grant.Answer == store.Granted {
		p.until = asks[0].Grant.Now + time.Minute.Milliseconds()
	}
}

func (p *pair) renew(t *rapid.T) {
	token := parties.Draw(t, "token")
	p.both(t, func(key string) (any, error) { return renew(p.ctx, p.store, key, token, time.Minute, time.Hour) })
}

func (p *pair) release(t *rapid.T) {
	token, backoff := parties.Draw(t, "token"), rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "backoff")
	p.both(t, func(key string) (any, error) { return release(p.ctx, p.store, key, token, backoff) })
}

func (p *pair) set(t *rapid.T) {
	e := store.Entry{TTL: time.Hour, Soft: time.Minute, CID: parties.Draw(t, "cid"), Version: versions.Draw(t, "version")}
	p.both(t, func(key string) (any, error) {
		e.Record = room("set")
		return set(p.ctx, p.store, key, e)
	})
}

func (p *pair) invalidate(t *rapid.T) {
	p.both(t, func(key string) (any, error) { return invalidate(p.ctx, p.store, key, store.Notice{}) })
}

func (p *pair) expire(t *rapid.T) {
	p.both(t, func(key string) (any, error) { return expire(p.ctx, p.store, key, time.Hour, store.Notice{}) })
}

func (p *pair) write(t *rapid.T) {
	p.both(t, func(key string) (any, error) {
		n, _, err := beginWrite(p.ctx, p.store, key, bob, time.Minute, store.Notice{})
		return n, err
	})
}

// plant puts any state of the matrix under both.
func (p *pair) plant(t *rapid.T) {
	st := rapid.SampledFrom(states()).Draw(t, "state")
	for _, key := range pairKeys {
		require.NoError(t, p.client.Del(p.ctx, key).Err())
		require.NoError(t, st.put(p.ctx, p.client, key), st.name)
	}
}

// append makes a record longer, as nobody of ours does.
func (p *pair) append(t *rapid.T) {
	for _, key := range pairKeys {
		if kind, err := p.client.Type(p.ctx, key).Result(); err == nil && kind == "string" {
			require.NoError(t, p.client.Append(p.ctx, key, "more").Err())
		}
	}
}

func (p *pair) wait(t *rapid.T) {
	p.now += rapid.SampledFrom([]int64{1, 30_000, 70_000, 4_000_000}).Draw(t, "ms")
	p.mini.SetTime(time.UnixMilli(p.now))
}

func (p *pair) commit(t *rapid.T) {
	token := rapid.SampledFrom([]envelope.Token{alice, alice, bob}).Draw(t, "token")
	c := store.Commit{
		Token: token, TTL: rapid.SampledFrom([]time.Duration{time.Hour, time.Minute, 0}).Draw(t, "ttl"),
		Soft:    rapid.SampledFrom([]time.Duration{time.Minute, 0, -time.Minute}).Draw(t, "soft"),
		Version: versions.Draw(t, "version"), Absent: rapid.Bool().Draw(t, "absent"),
	}
	commits := []store.Commit{c, c}
	for i := range commits {
		commits[i].Key, commits[i].Record = pairKeys[i], room("body")
	}
	if commits[0].Until = p.until; p.until > 0 {
		commits[0].Now = p.time()
	}
	p.store.Commit(p.ctx, commits, nil)
	require.NoError(t, commits[0].Err)
	require.NoError(t, commits[1].Err)
	require.Equal(t, commits[1].Verdict, commits[0].Verdict)
}

func (p *pair) time() int64 {
	if p.mini == nil {
		return time.Now().UnixMilli()
	}
	return p.now
}

// alike compares what is under the keys, to the byte and the millisecond where the clock
// stands still.
func (p *pair) alike(t *rapid.T) {
	var all [2]string
	var left [2]time.Duration
	for i, key := range pairKeys {
		data, err := p.client.Type(p.ctx, key).Result()
		require.NoError(t, err)
		if text, err := p.client.Get(p.ctx, key).Result(); err == nil {
			if data = text; p.mini == nil {
				data = clock(text)
			}
		}
		all[i], left[i] = data, p.client.PTTL(p.ctx, key).Val()
	}
	require.Equal(t, all[1], all[0])
	if p.mini != nil {
		require.Equal(t, left[1], left[0])
	} else {
		require.InDelta(t, left[1], left[0], float64(20*time.Second))
	}
}

func TestACommitThatKnowsItsLeaseIsAsOneThatKnowsItsToken(t *testing.T) {
	run := func(t *testing.T, c *redis.Client, m *miniredis.Miniredis) {
		s := open(t, c)
		store.Learn(s, conn.IsRedis)
		rapid.Check(t, func(t *rapid.T) {
			require.NoError(t, c.Del(context.Background(), pairKeys...).Err())
			p := &pair{ctx: context.Background(), client: c, store: s, mini: m, now: epoch.UnixMilli()}
			steps := map[string]func(*rapid.T){
				"acquire": p.acquire, "acquire too": p.acquire, "commit": p.commit, "commit too": p.commit, "renew": p.renew, "release": p.release,
				"set": p.set, "invalidate": p.invalidate, "expire": p.expire, "write": p.write, "plant": p.plant, "append": p.append,
				"": p.alike,
			}
			if m != nil {
				m.SetTime(epoch)
				steps["wait"] = p.wait
			}
			t.Repeat(steps)
		})
	}
	t.Run("miniredis", func(t *testing.T) {
		m := mini(t)
		run(t, redistest.Dial(t, m.Addr()), m)
	})
	t.Run("redis", func(t *testing.T) { run(t, redistest.Single(t).Client(t), nil) })
}

// The script says when the entry ends on the clock of the grant: a command that was long
// on its way makes it no longer.
func TestACommitThatComesLateMakesTheEntryNoLonger(t *testing.T) {
	m := mini(t)
	c := redistest.Dial(t, m.Addr())
	s := open(t, c)
	late := granted(t, s, "k", alice)
	late.Soft = 40 * time.Second
	m.SetTime(epoch.Add(5 * time.Second))
	verdict, _, err := commit(t.Context(), s, "k", late)
	require.NoError(t, err)
	require.Equal(t, store.Committed, verdict)
	assert.Equal(t, 55*time.Second, c.PTTL(t.Context(), "k").Val())
	h, err := envelope.ParseHeader([]byte(c.Get(t.Context(), "k").Val()))
	require.NoError(t, err)
	assert.Equal(t, epoch.Add(40*time.Second).UnixMilli()/2*2, h.Fresh)
}
