package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

const conformKey = "conformance"

// machine drives the scripts and the model through the same steps.
type machine struct {
	ctx    context.Context //nolint:containedctx // of one run
	client *redis.Client
	store  *store.Store
	mini   *miniredis.Miniredis // nil: a real server, where nothing expires
	model  model
	steps  *int
	spans  *rapid.Generator[time.Duration]
}

var (
	parties  = rapid.SampledFrom([]envelope.Token{alice, bob, carol})
	versions = rapid.SampledFrom([]uint64{0, 1, 2, 3})
	bodies   = rapid.SampledFrom([]string{"", "one", "two"})
	notices  = rapid.SampledFrom([]store.Notice{{}, {Channel: "c", Message: "m"}})
)

// twice runs a step, and now and then once more at once, as a client does that
// has lost a reply.
func (m *machine) twice(t *rapid.T, step func()) {
	step()
	if rapid.IntRange(0, 7).Draw(t, "resend") == 0 {
		step()
	}
}

// holder draws a party, half of the time the one whose token is in the record:
// left to chance alone most steps would be refused.
func (m *machine) holder(t *rapid.T) envelope.Token {
	if r := m.model.rec; r != nil && rapid.Bool().Draw(t, "it is mine") {
		switch {
		case len(r.open) > 0:
			return r.open[0].token
		case r.h.Token != envelope.NoToken && r.h.Token != (envelope.Token{}):
			return r.h.Token
		}
	}
	return parties.Draw(t, "token")
}

// soft is what is left of an entry's freshness, at times less than nothing.
func (m *machine) soft(t *rapid.T) time.Duration {
	return rapid.OneOf(m.spans, rapid.SampledFrom([]time.Duration{0, -time.Minute})).Draw(t, "soft")
}

func (m *machine) entry(t *rapid.T) store.Entry {
	return store.Entry{
		Version: versions.Draw(t, "version"), TTL: m.spans.Draw(t, "ttl"), Soft: m.soft(t), CID: parties.Draw(t, "cid"),
		Record: room(bodies.Draw(t, "body")), Notice: notices.Draw(t, "notice"),
	}
}

func (m *machine) acquire(t *rapid.T) {
	a := store.Acquire{
		Token: m.holder(t), Lease: m.spans.Draw(t, "lease"), Retain: m.spans.Draw(t, "retain"),
		Seen: envelope.Token{}, Invalid: rapid.Bool().Draw(t, "invalid"),
	}
	if m.model.rec != nil && rapid.Bool().Draw(t, "has read it") {
		a.Seen = m.model.rec.h.CID
	}
	m.twice(t, func() {
		got, err := acquire(m.ctx, m.store, conformKey, a)
		require.NoError(t, err)
		want := m.model.acquire(a)
		if m.mini == nil { // the clock is not ours
			require.Positive(t, got.Now)
			require.Equal(t, want.Left > 0, got.Left > 0)
			require.Equal(t, want.Record.PTTL > 0, got.Record.PTTL > 0)
			want.Now, want.Left, want.Record.PTTL = got.Now, got.Left, got.Record.PTTL
			want.Record.Data, got.Record.Data = []byte(clock(string(want.Record.Data))), []byte(clock(string(got.Record.Data)))
		}
		require.Equal(t, want.Answer, got.Answer)
		require.Equal(t, string(want.Record.Data), string(got.Record.Data))
		want.Record.Data, got.Record.Clock = got.Record.Data, nil
		require.Equal(t, want, got)
	})
}

func (m *machine) commit(t *rapid.T) {
	c := store.Commit{
		Token: m.holder(t), TTL: rapid.OneOf(m.spans, rapid.Just(time.Duration(0))).Draw(t, "ttl"),
		Soft: m.soft(t), Version: versions.Draw(t, "version"), Record: room(bodies.Draw(t, "body")),
		Absent: rapid.Bool().Draw(t, "absent"), Notice: notices.Draw(t, "notice"),
	}
	if m.model.rec != nil && m.model.rec.is(envelope.Lease) && rapid.Bool().Draw(t, "knows its lease") {
		c.Until, c.Now = m.leaseAsGranted(t)
	}
	m.twice(t, func() {
		got, _, err := commit(m.ctx, m.store, conformKey, c)
		require.NoError(t, err)
		require.Equal(t, m.model.commit(c), got)
	})
}

// leaseAsGranted is the deadline of the lease that is there, or another one, and the time.
func (m *machine) leaseAsGranted(t *rapid.T) (until, now int64) {
	data, err := m.client.Get(m.ctx, conformKey).Bytes()
	require.NoError(t, err)
	h, err := envelope.ParseHeader(data)
	require.NoError(t, err)
	until = h.Until - rapid.SampledFrom([]int64{0, 0, 7}).Draw(t, "was renewed")
	if m.mini == nil {
		return until, time.Now().UnixMilli()
	}
	return until, m.model.now
}

func (m *machine) renew(t *rapid.T) {
	token, lease, retain := m.holder(t), m.spans.Draw(t, "lease"), m.spans.Draw(t, "retain")
	m.twice(t, func() {
		got, err := renew(m.ctx, m.store, conformKey, token, lease, retain)
		require.NoError(t, err)
		require.Equal(t, m.model.renew(token, lease, retain), got)
	})
}

func (m *machine) release(t *rapid.T) {
	token := m.holder(t)
	backoff := rapid.OneOf(m.spans, rapid.Just(time.Duration(0))).Draw(t, "backoff")
	m.twice(t, func() {
		got, err := release(m.ctx, m.store, conformKey, token, backoff)
		require.NoError(t, err)
		require.Equal(t, m.model.release(token, backoff), got)
	})
}

func (m *machine) slide(t *rapid.T) {
	cid, ttl := parties.Draw(t, "cid"), rapid.OneOf(m.spans, rapid.Just(time.Duration(0))).Draw(t, "ttl")
	soft, latest := m.soft(t), int64(0)
	if m.mini != nil && rapid.Bool().Draw(t, "bounded") {
		latest = m.model.now + rapid.Int64Range(-20, 80).Draw(t, "latest")
	}
	m.twice(t, func() {
		got, err := slide(m.ctx, m.store, store.Slide{Key: conformKey, CID: cid, Soft: soft, TTL: ttl, Latest: latest})
		require.NoError(t, err)
		require.Equal(t, m.model.slide(cid, soft, ttl, latest), got)
	})
}

// set is the one that must not be sent twice; the client does not.
func (m *machine) set(t *rapid.T) {
	e := m.entry(t)
	got, err := set(m.ctx, m.store, conformKey, e)
	require.NoError(t, err)
	require.Equal(t, string(m.model.set(e)), string(got))
}

func (m *machine) invalidate(t *rapid.T) {
	n := notices.Draw(t, "notice")
	m.twice(t, func() {
		got, err := invalidate(m.ctx, m.store, conformKey, n)
		require.NoError(t, err)
		require.Equal(t, m.model.invalidate(n), got)
	})
}

func (m *machine) invalidateMany(t *rapid.T) {
	n := notices.Draw(t, "notice")
	changes := []store.Change{{Key: conformKey, Notice: n}, {Key: "nothing", Notice: n}}
	m.store.Invalidate(m.ctx, changes)
	for i, want := range []store.ChangeAnswer{m.model.invalidate(n), store.ChangeNothing} {
		require.NoError(t, changes[i].Err)
		require.Equal(t, want, changes[i].Answer)
	}
	m.model.publish(n)
}

func (m *machine) expire(t *rapid.T) {
	stale, n := m.spans.Draw(t, "stale"), notices.Draw(t, "notice")
	m.twice(t, func() {
		got, err := expire(m.ctx, m.store, conformKey, stale, n)
		require.NoError(t, err)
		require.Equal(t, m.model.expire(stale, n), got)
	})
}

func (m *machine) beginWrite(t *rapid.T) {
	token, intent, n := m.holder(t), m.spans.Draw(t, "intent"), notices.Draw(t, "notice")
	m.twice(t, func() {
		got, _, err := beginWrite(m.ctx, m.store, conformKey, token, intent, n)
		require.NoError(t, err)
		require.Equal(t, m.model.wbegin(token, intent, n), got)
	})
}

func (m *machine) endWrite(t *rapid.T) {
	e := store.EndWrite{
		Token: m.holder(t), TTL: rapid.OneOf(m.spans, rapid.Just(time.Duration(0))).Draw(t, "ttl"),
		Soft: m.soft(t), Version: versions.Draw(t, "version"), Record: room(bodies.Draw(t, "body")), Notice: notices.Draw(t, "notice"),
	}
	if rapid.Bool().Draw(t, "nothing to store") {
		e.Record = nil
	}
	m.twice(t, func() {
		got, err := endWrite(m.ctx, m.store, conformKey, e)
		require.NoError(t, err)
		require.Equal(t, string(m.model.wend(e)), string(got))
	})
}

// plant puts something under the key that no script has made.
func (m *machine) plant(t *rapid.T) {
	whole := rapid.Custom(func(t *rapid.T) held {
		h := envelope.Header{
			Kind:  rapid.SampledFrom([]envelope.Kind{envelope.Value, envelope.Dirty}).Draw(t, "kind"),
			Token: envelope.NoToken, CID: parties.Draw(t, "cid"), Version: versions.Draw(t, "version"),
		}
		if h.Kind != envelope.Dirty && rapid.Bool().Draw(t, "with a lease or backing off") {
			h.Token = rapid.OneOf(rapid.Just(envelope.NoToken), parties).Draw(t, "token")
			h.Until = m.model.in(m.spans.Draw(t, "until"))
		}
		if h.Kind == envelope.Value && rapid.Bool().Draw(t, "its soft deadline is known") {
			h.Fresh = m.model.in(m.soft(t))
		}
		return held{h: h, body: bodies.Draw(t, "body")}
	})
	r := rapid.OneOf(whole, rapid.SampledFrom([]held{
		{raw: "foreign"}, {raw: "K"}, {raw: "K1L"}, {raw: "K1V0000000000000--------"}, {raw: "K1W"}, {raw: "K1D"}, {raw: damaged}, {hash: true},
	})).Draw(t, "plant")
	require.NoError(t, m.client.Del(m.ctx, conformKey).Err())
	m.model.rec = &r
	switch {
	case r.hash:
		require.NoError(t, m.client.HSet(m.ctx, conformKey, "K1V", "1").Err())
	default:
		require.NoError(t, m.client.Set(m.ctx, conformKey, r.text(), 0).Err())
	}
}

func (m *machine) wait(t *rapid.T) {
	m.model.tick(rapid.SampledFrom([]time.Duration{1, 5, 10, 60}).Draw(t, "ms") * time.Millisecond)
	m.mini.SetTime(time.UnixMilli(m.model.now))
}

// agree compares all that is under the key.
func (m *machine) agree(t *rapid.T) {
	*m.steps++
	got, err := read(m.ctx, m.store, conformKey)
	require.NoError(t, err)
	want := m.model.rec
	if want == nil || want.hash {
		require.Nil(t, got.Data)
		require.Equal(t, want != nil, got.Foreign)
		return
	}
	if m.mini == nil {
		require.Equal(t, clock(want.text()), clock(string(got.Data)))
		left, err := m.client.PTTL(m.ctx, conformKey).Result()
		require.NoError(t, err)
		require.Equal(t, want.exp != 0, left > 0)
		return
	}
	require.Equal(t, want.text(), string(got.Data))
	left := time.Duration(-1)
	if want.exp != 0 {
		left = time.Duration(want.exp-m.model.now) * time.Millisecond
	}
	require.Equal(t, left, got.PTTL)
}

// conform runs the machine. Messages are counted in the end.
func conform(t *testing.T, c *redis.Client, m *miniredis.Miniredis, spans ...time.Duration) {
	ctx := t.Context()
	s := open(t, c)
	steps := 0
	sub := c.Subscribe(ctx, "c")
	defer func() { require.NoError(t, sub.Close()) }()
	_, err := sub.Receive(ctx)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		require.NoError(t, c.Del(ctx, conformKey).Err())
		r := &machine{
			ctx: ctx, client: c, store: s, mini: m, steps: &steps,
			spans: rapid.SampledFrom(spans), model: model{now: time.Now().UnixMilli()},
		}
		if m != nil {
			r.model.now = epoch.UnixMilli()
			m.SetTime(epoch)
		}
		steps := map[string]func(*rapid.T){
			"acquire": r.acquire, "commit": r.commit, "renew": r.renew, "release": r.release, "slide": r.slide,
			"set": r.set, "invalidate": r.invalidate, "invalidate many": r.invalidateMany,
			"expire": r.expire, "wbegin": r.beginWrite, "wend": r.endWrite, "plant": r.plant,
			"": r.agree,
		}
		if m != nil { // the clock of a real server is not ours
			steps["wait"] = r.wait
		}
		t.Repeat(steps)
		require.NoError(t, c.Publish(ctx, "c", "end").Err())
		for n := 0; ; n++ {
			msg, err := sub.ReceiveMessage(ctx)
			require.NoError(t, err)
			if msg.Payload == "end" {
				require.Equal(t, r.model.published, n, "messages")
				return
			}
		}
	})
	t.Log(steps, "steps")
}

func TestScriptsConformOnMiniredisWithItsClockInHand(t *testing.T) {
	t.Parallel()
	m := mini(t)
	conform(t, redistest.Dial(t, m.Addr()), m, 10*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond)
}

func TestScriptsConformOnRedisWhileNothingExpires(t *testing.T) {
	t.Parallel()
	conform(t, redistest.Single(t).Client(t), nil, 10*time.Minute, 12*time.Minute)
}
