package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// state is what may be under a key. Alice made it where somebody did; versions
// are compared with 5, which the operations write.
type state struct {
	name string
	put  func(ctx context.Context, c redis.Cmdable, key string) error // or queues it, in a pipeline
}

func holding(name, record string) state {
	return state{name, func(ctx context.Context, c redis.Cmdable, key string) error {
		return c.Set(ctx, key, record, time.Hour).Err()
	}}
}

func ours(name string, h envelope.Header, body string) state { return holding(name, record(h, body)) }

func states() []state {
	value := func(version uint64, cid envelope.Token) envelope.Header {
		return envelope.Header{Kind: envelope.Value, Fresh: future, CID: cid, Version: version}
	}
	return []state{
		{"none", func(context.Context, redis.Cmdable, string) error { return nil }},
		holding("foreign", "hello, I am somebody else's and longer than a header of the cache's records"),
		holding("letter", "K"),
		{"hash", func(ctx context.Context, c redis.Cmdable, key string) error {
			return c.HSet(ctx, key, "K1V", "1").Err()
		}},
		{"list", func(ctx context.Context, c redis.Cmdable, key string) error { return c.RPush(ctx, key, "K1L").Err() }},
		holding("cutL", "K1L"),
		holding("cutV", record(value(0, alice), "")[:40]),
		holding("cutW", "K1W"),
		holding("cutD", "K1D"),
		ours("L", envelope.Header{Kind: envelope.Lease, Until: future, Token: alice}, ""),
		ours("Lold", envelope.Header{Kind: envelope.Lease, Until: past, Token: alice}, ""),
		ours("E", envelope.Header{Kind: envelope.Backoff, Until: future}, ""),
		ours("Eold", envelope.Header{Kind: envelope.Backoff, Until: past}, ""),
		ours("V0", value(0, alice), "body"),
		ours("V4", value(4, alice), "body"),
		ours("V5", value(5, alice), "body"),
		ours("V5bob", value(5, bob), "body"),
		ours("V6", value(6, alice), "body"),
		ours("Vold", envelope.Header{Kind: envelope.Value, Fresh: past, CID: alice, Version: 6}, "body"),
		ours("Vtime", envelope.Header{Kind: envelope.Value, CID: alice, Version: 6}, "body"),
		ours("Vlease", envelope.Header{Kind: envelope.Value, Until: future, Fresh: future, Token: alice, CID: alice, Version: 6}, "body"),
		ours("Vlold", envelope.Header{Kind: envelope.Value, Until: future, Fresh: past, Token: alice, CID: alice, Version: 6}, "body"),
		ours("Vltime", envelope.Header{Kind: envelope.Value, Until: future, Token: alice, CID: alice, Version: 6}, "body"),
		ours("Vback", envelope.Header{Kind: envelope.Value, Until: future, Fresh: future, CID: alice, Version: 4}, "body"),
		holding("Vzero", damaged),
		holding("new", "K1Q"+record(value(5, alice), "body")[3:]),
		holding("newV", record(value(5, alice), "")[:77]+"001body"),
		holding("newD", record(envelope.Header{Kind: envelope.Dirty, Version: 4}, "")[:77]+"001body"),
		ours("W", envelope.Header{Kind: envelope.Intent, Until: future}, writes(alice, future)),
		ours("Wold", envelope.Header{Kind: envelope.Intent, Until: past}, writes(alice, past)),
		ours("Wconf", envelope.Header{Kind: envelope.Intent, Until: future, Conflict: true}, writes(alice, future)),
		ours("Wtwo", envelope.Header{Kind: envelope.Intent, Until: future}, writes(bob, future)+writes(alice, future)),
		ours("Wdead", envelope.Header{Kind: envelope.Intent, Until: future}, writes(bob, past)+writes(alice, future)),
		ours("D", envelope.Header{Kind: envelope.Dirty, Version: 4}, "body"),
	}
}

// writes is an open write in an intent's record.
func writes(t envelope.Token, until int64) string {
	return string(envelope.AppendIntent(nil, t, until))
}

// column is one operation of the matrix, on any number of keys.
type column struct {
	name string
	do   func(ctx context.Context, s *store.Store, keys []string, notice func(key string) store.Notice) ([]any, []error)
}

// on is the operation on one key.
func (col column) on(ctx context.Context, s *store.Store, key string, n store.Notice) (any, error) {
	answers, errs := col.do(ctx, s, []string{key}, func(string) store.Notice { return n })
	return answers[0], errs[0]
}

// each is a column of an operation that asks q of each key, and leaves what has come of it
// in there.
func each[Q any](
	name string, q func(key string, n store.Notice) Q, ask func(context.Context, *store.Store, []Q), answer func(Q) (any, error),
) column {
	return column{name, func(ctx context.Context, s *store.Store, keys []string, notice func(string) store.Notice) ([]any, []error) {
		qs, answers, errs := make([]Q, len(keys)), make([]any, len(keys)), make([]error, len(keys))
		for i, key := range keys {
			qs[i] = q(key, notice(key))
		}
		ask(ctx, s, qs)
		for i := range qs {
			answers[i], errs[i] = answer(qs[i])
		}
		return answers, errs
	}}
}

func acquireColumn(name string, t, seen envelope.Token, invalid bool) column {
	return each(name, func(key string, _ store.Notice) store.Acquire {
		return store.Acquire{Key: key, Token: t, Lease: time.Minute, Retain: time.Hour, Seen: seen, Invalid: invalid}
	}, func(ctx context.Context, s *store.Store, asks []store.Acquire) { s.Acquire(ctx, asks, nil) },
		func(a store.Acquire) (any, error) { return string(a.Grant.Answer), a.Err })
}

func commitColumn(name string, ttl time.Duration, absent bool) column {
	return each(name, func(key string, n store.Notice) store.Commit {
		return store.Commit{
			Key: key, Token: alice, TTL: ttl, Soft: time.Second, Version: 5, Record: room("new"), Absent: absent, Notice: n,
		}
	}, func(ctx context.Context, s *store.Store, commits []store.Commit) { s.Commit(ctx, commits, nil) },
		func(c store.Commit) (any, error) { return c.Verdict, c.Err })
}

func leaseColumn(name string, ask func(context.Context, *store.Store, []store.Lease)) column {
	return each(name, func(key string, _ store.Notice) store.Lease { return store.Lease{Key: key, Token: alice} }, ask,
		func(l store.Lease) (any, error) { return l.Held, l.Err })
}

func entryColumn(name string, version uint64, ask func(context.Context, *store.Store, []store.Entry)) column {
	return each(name, func(key string, n store.Notice) store.Entry {
		return store.Entry{
			Key: key, Version: version, TTL: time.Minute, Soft: time.Second, CID: alice, Record: room("new"), Notice: n,
		}
	}, ask, func(e store.Entry) (any, error) { return string(e.Answer), e.Err })
}

func changeColumn(name string, ask func(context.Context, *store.Store, []store.Change)) column {
	return each(name, func(key string, n store.Notice) store.Change { return store.Change{Key: key, Notice: n} }, ask,
		func(c store.Change) (any, error) { return c.Answer, c.Err })
}

func columns() []column {
	return []column{
		acquireColumn("acq", bob, envelope.Token{}, false),
		acquireColumn("own", alice, envelope.Token{}, false),
		acquireColumn("seen", bob, alice, false),
		acquireColumn("inv", bob, alice, true),
		commitColumn("com", time.Minute, false),
		commitColumn("com0", 0, false),
		commitColumn("coma", time.Minute, true),
		leaseColumn("ren", func(ctx context.Context, s *store.Store, all []store.Lease) {
			s.Renew(ctx, all, time.Minute, time.Hour)
		}),
		leaseColumn("rel", func(ctx context.Context, s *store.Store, all []store.Lease) { s.Release(ctx, all, time.Minute) }),
		each("sli", func(key string, _ store.Notice) store.Slide {
			return store.Slide{Key: key, CID: alice, Soft: time.Second, TTL: time.Minute}
		}, func(ctx context.Context, s *store.Store, all []store.Slide) { s.Slide(ctx, all) },
			func(d store.Slide) (any, error) { return d.Slid, d.Err }),
		entryColumn("set", 5, func(ctx context.Context, s *store.Store, all []store.Entry) { s.Set(ctx, all) }),
		entryColumn("set0", 0, func(ctx context.Context, s *store.Store, all []store.Entry) { s.Set(ctx, all) }),
		changeColumn("invd", func(ctx context.Context, s *store.Store, all []store.Change) { s.Invalidate(ctx, all) }),
		changeColumn("exp", func(ctx context.Context, s *store.Store, all []store.Change) { s.Expire(ctx, all, time.Minute) }),
		each("wbeg", func(key string, n store.Notice) store.Intent {
			return store.Intent{Key: key, Token: bob, Notice: n}
		}, func(ctx context.Context, s *store.Store, all []store.Intent) {
			s.BeginWrite(ctx, all, time.Minute, nil)
		},
			func(w store.Intent) (any, error) { return w.Open, w.Err }),
		each("wend", func(key string, n store.Notice) store.EndWrite {
			return store.EndWrite{Key: key, Token: alice, TTL: time.Minute, Soft: time.Second, Record: room("new"), Notice: n}
		}, func(ctx context.Context, s *store.Store, all []store.EndWrite) { s.EndWrite(ctx, all) },
			func(e store.EndWrite) (any, error) { return string(e.Answer), e.Err }),
	}
}

// matrix says what each operation answers on each state. Behind the answer: "="
// the key is as it was, "-" it is gone, "~" it is something else, or has another
// time to live; "!" there was a notice.
const matrix = `
        acq   own   seen  inv   com   com0  coma  ren   rel   sli   set   set0  invd  exp   wbeg  wend
none    G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   0=!   0=!   1~!   L=!
foreign X=    X=    X=    X=    0=    0=    0=    0=    0=    0=    X=    X=    1-!   -2=   -2=   X=
letter  X=    X=    X=    X=    0=    0=    0=    0=    0=    0=    X=    X=    1-!   -2=   -2=   X=
hash    X=    X=    X=    X=    0=    0=    0=    0=    0=    0=    X=    X=    0=!   -2=   -2=   X=
list    X=    X=    X=    X=    0=    0=    0=    0=    0=    0=    X=    X=    0=!   -2=   -2=   X=
cutL    G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   0-!   1~!   L-!
cutV    G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   0-!   1~!   L-!
cutW    G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   0-!   1~!   L-!
cutD    G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   0-!   1~!   L-!
L       B=    G~    B=    B=    1~    1-    1~    1~    1~    0=    S~!   S~!   1-!   0-!   1~!   L-!
Lold    G~    G~    G~    G~    1~    1-    1~    1~    1~    0=    S~!   S~!   1-!   0-!   1~!   L-!
E       E=    E=    E=    E=    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   0-!   1~!   L-!
Eold    G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   0-!   1~!   L-!
V0      H=    H=    R~    G~    0=    0=    0=    0=    0=    1~    S~!   S~!   1-!   1~!   1~!   L-!
V4      H=    H=    R~    G~    0=    0=    0=    0=    0=    1~    S~!   S~!   1-!   1~!   1~!   L-!
V5      H=    H=    R~    G~    0=    0=    0=    0=    0=    1~    S~!   S~!   1-!   1~!   1~!   L-!
V5bob   H=    H=    H=    H=    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   1~!   1~!   L-!
V6      H=    H=    R~    G~    0=    0=    0=    0=    0=    1~    O=    S~!   1-!   1~!   1~!   L-!
Vold    H=    H=    R~    G~    0=    0=    0=    0=    0=    0=    O=    S~!   1-!   1~!   1~!   L-!
Vtime   H=    H=    R~    G~    0=    0=    0=    0=    0=    1~    O=    S~!   1-!   1~!   1~!   L-!
Vlease  H=    H=    B=    B=    2~    1-!   1~!   1~    1~    1~    O=    S~!   1-!   1~!   1~!   L-!
Vlold   H=    H=    B=    B=    1~!   1-!   1~!   1~    1~    0=    O=    S~!   1-!   1~!   1~!   L-!
Vltime  H=    H=    B=    B=    1~!   1-!   1~!   1~    1~    1~    O=    S~!   1-!   1~!   1~!   L-!
Vback   H=    H=    E=    E=    0=    0=    0=    0=    0=    1~    S~!   S~!   1-!   1~!   1~!   L-!
Vzero   G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   0-!   1~!   L-!
new     X=    X=    X=    X=    0=    0=    0=    0=    0=    0=    X=    X=    1-!   0-!   -2=   L-!
newV    X=    X=    X=    X=    0=    0=    0=    0=    0=    0=    X=    X=    1-!   0-!   -2=   L-!
newD    H=    H=    H=    H=    0=    0=    0=    0=    0=    0=    D=    D=    3=    0=    -1=   L=!
W       W=    W=    W=    W=    0=    0=    0=    0=    0=    0=    W~!   W~!   2~!   2~!   2~!   S~!
Wold    G~    G~    G~    G~    0=    0=    0=    0=    0=    0=    S~!   S~!   1-!   2~!   1~!   S~!
Wconf   W=    W=    W=    W=    0=    0=    0=    0=    0=    0=    W=!   W=!   2=!   2=!   2~!   D-!
Wtwo    W=    W=    W=    W=    0=    0=    0=    0=    0=    0=    W~!   W~!   2~!   2~!   2=!   K~!
Wdead   W=    W=    W=    W=    0=    0=    0=    0=    0=    0=    W~!   W~!   2~!   2~!   2~!   S~!
D       H=    H=    H=    H=    0=    0=    0=    0=    0=    0=    D=    D=    3=    0=    -1=   L=!
`

// cell runs one operation on one state and describes what happened.
func cell(ctx context.Context, t *testing.T, c *redis.Client, s *store.Store, st state, col column) string {
	t.Helper()
	key := st.name + "/" + col.name
	require.NoError(t, st.put(ctx, c, key))
	before := dump(ctx, t, c, key)[0]
	answer, err := col.on(ctx, s, key, store.Notice{Channel: "notices", Message: key})
	require.NoError(t, err, key)
	return described(answer, before, dump(ctx, t, c, key)[0])
}

// described is a cell of the matrix, without its notice.
func described(answer any, before, after string) string {
	text := fmt.Sprint(answer)
	if b, ok := answer.(bool); ok {
		text = map[bool]string{true: "1", false: "0"}[b]
	}
	switch after {
	case before:
		return text + "="
	case "":
		return text + "-"
	}
	return text + "~"
}

// dump is everything about keys that may change, "" for each that is not there. Times
// to live are rounded up to minutes: nothing in the matrix takes as long.
func dump(ctx context.Context, t *testing.T, c *redis.Client, keys ...string) []string {
	t.Helper()
	kinds, ttls := make([]*redis.StatusCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			kinds[i], ttls[i] = p.Type(ctx, key), p.PTTL(ctx, key)
		}
		return nil
	})
	require.NoError(t, err)
	all, values := make([]string, len(keys)), make([]func() string, len(keys))
	_, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			switch kinds[i].Val() {
			case "none":
				values[i] = func() string { return "" }
			case "string":
				got, ttl := p.Get(ctx, key), ttls[i].Val()
				values[i] = func() string { return fmt.Sprint(got.Val(), int64((ttl+time.Minute-1)/time.Minute)) }
			case "hash":
				got := p.HGetAll(ctx, key)
				values[i] = func() string { return fmt.Sprint(got.Val()) }
			default:
				got := p.LRange(ctx, key, 0, -1)
				values[i] = func() string { return fmt.Sprint(got.Val()) }
			}
		}
		return nil
	})
	require.NoError(t, err)
	for i := range keys {
		all[i] = values[i]()
	}
	return all
}

func TestMatrix(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		ctx := t.Context()
		s := open(t, c)
		sub := c.Subscribe(ctx, "notices")
		defer func() { require.NoError(t, sub.Close()) }()
		_, err := sub.Receive(ctx)
		require.NoError(t, err)

		cells := map[string]string{}
		for _, st := range states() {
			for _, col := range columns() {
				cells[st.name+"/"+col.name] = cell(ctx, t, c, s, st, col)
			}
		}
		require.NoError(t, c.Publish(ctx, "notices", "end").Err())
		for {
			m, err := sub.ReceiveMessage(ctx)
			require.NoError(t, err)
			if m.Payload == "end" {
				break
			}
			cells[m.Payload] += "!"
		}
		assert.Equal(t, strings.TrimSpace(matrix), strings.TrimSpace(layout(cells)))
	})
}

// layout writes the cells as the matrix is written.
func layout(cells map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s", "")
	for _, col := range columns() {
		fmt.Fprintf(&b, "%-6s", col.name)
	}
	for _, st := range states() {
		fmt.Fprintf(&b, "\n%-8s", st.name)
		for _, col := range columns() {
			fmt.Fprintf(&b, "%-6s", cells[st.name+"/"+col.name])
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
