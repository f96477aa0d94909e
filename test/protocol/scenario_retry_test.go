package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/testkit"
)

const (
	leaseTime = 3 * time.Second // of a lease that nobody renews or gives back
	dropEvery = 7               // replies
)

// Scenario 9. The replies to every 7th command are lost after Redis has executed
// it, and the client sends the command again by itself, up to three times, or
// never. Either way nobody is served what was invalidated before, nobody keeps a
// lease or a write intent that he does not know of, and nobody waits for one.
//
// The scripts are made for it: a repeated commit is refused, a repeated
// invalidation or end of a write removes once more, and what must not be repeated
// (acquire, wbegin, set) is not; an acquire whose reply is lost is given back.
func TestClientRetryIdempotence(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{3, -1} {
		t.Run(fmt.Sprintf("MaxRetries %d", retries), func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			var h testkit.History
			var late overruns
			proxies := []*redistest.Proxy{redistest.NewProxy(t, server.Addr()), redistest.NewProxy(t, server.Addr())}
			var caches []*cache.Cache[int64]
			var processes []*testkit.Subject
			teachScripts(t, server, &h)
			for _, proxy := range proxies {
				proxy.DropReply(dropEvery)
				c := testkit.NewBudgeted[int64](t, lossy(t, proxy, retries), cache.WithHooks(late.hooks()))
				caches, processes = append(caches, c), append(processes, h.Cached(c))
			}
			leases := watchLeases(t, server.Client(t))
			h.Run(t.Context(), testkit.Span(10*time.Second, time.Second), processes...)
			for _, c := range caches {
				testkit.Eventually(t, func() bool { return c.Stats().Loading == 0 }, "flights to land")
			}
			leases.stop()
			drops := (proxies[0].Commands() + proxies[1].Commands()) / dropEvery
			for i, c := range caches {
				proxies[i].DropReply(0)
				require.NoError(t, c.Shutdown(t.Context()), "what was pending has landed")
			}

			h.Log(t, fmt.Sprintf("%d replies lost", drops))
			t.Logf("%d leases, the longest held for %v; %d intents, the longest for %v; left: %d; %d commands overran their budget",
				len(leases.held), leases.longest(leases.held), len(leases.intents), leases.longest(leases.intents), leases.left, late.n.Load())
			assert.Zero(t, h.Stale.Load(), "violations")
			assert.NoError(t, h.FirstFailure(), "a lost reply is no error of a read")
			assert.Greater(t, drops, int64(20), "else the run shows nothing")
			assert.Positive(t, h.Writes.Load())
			assert.NotEmpty(t, leases.held)
			assert.Less(t, leases.longest(leases.held), leaseTime, "leases stuck")
			assert.LessOrEqual(t, leases.left, int(late.n.Load()), "left behind, but by a command that Redis executed after it was given up")
			assert.Less(t, time.Duration(h.Slowest.Load()), leaseTime, "nobody waited for a stuck lease")
			if retries < 0 {
				assert.Positive(t, h.Pending.Load(), "without retries a lost reply is reported")
			}
		})
	}
}

// What the same faults do to a naive cache, and to a lock that is taken by SET NX:
//
//  1. The client sends SET lock NX; Redis sets it; the reply is lost.
//  2. The client sends it again by itself and hears that somebody has the lock.
//  3. That is the client itself. Nobody loads until the lock's end.
func TestClientRetryIdempotenceControl(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{3, -1} {
		t.Run(fmt.Sprintf("MaxRetries %d", retries), func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			proxy := redistest.NewProxy(t, server.Addr())
			proxy.DropReply(dropEvery)
			rdb := lossy(t, proxy, retries)
			var h testkit.History
			h.Control(t, h.Naive(rdb), h.Naive(rdb))

			direct, stuck := server.Client(t), 0
			for i := range 100 {
				lock := "lock:" + strconv.Itoa(i)
				mine, err := rdb.SetNX(t.Context(), lock, "mine", leaseTime).Result()
				if err != nil || !mine {
					stuck += int(direct.Exists(t.Context(), lock).Val())
				}
			}
			t.Logf("naive control: %d of 100 locks stuck for %v", stuck, leaseTime)
			assert.Positive(t, stuck, "the control must see stuck locks, else the test is blind")
		})
	}
}

// teachScripts makes the server know the scripts, so that each command whose reply
// is lost was executed. (Where the reply that is lost is NOSCRIPT, nothing was: a
// wend that the client does not repeat then leaves its intent until that ends.)
func teachScripts(t *testing.T, server *redistest.Server, h *testkit.History) {
	p := h.Cached(testkit.NewCache[int64](t, server.Client(t)))
	for range 2 {
		_, err := p.Ask(t.Context(), "0")
		require.NoError(t, err)
		require.NoError(t, p.Put(t.Context(), "0", func() {}))
	}
	_, err := testkit.NewCache[int64](t, server.Client(t)).GetOrLoad(t.Context(), "1", testkit.Failing[int64](errStorm))
	require.ErrorIs(t, err, errStorm, "release")
}

// overruns counts the commands that were given up because Redis, or a busy
// machine, did not answer within the budget. Such a command may be executed later:
// an acquire then blocks the key for the time of a lease at most, and a wbegin
// that comes after its wend for the time of an intent.
type overruns struct{ n atomic.Int64 }

func (o *overruns) hooks() cache.Hooks {
	return cache.Hooks{RedisError: func(_ string, err error) {
		if errors.Is(err, store.ErrBudget) {
			o.n.Add(1)
		}
	}}
}

// lossy is a client through a proxy that loses replies.
func lossy(t testing.TB, proxy *redistest.Proxy, retries int) *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Addr: proxy.Addr(), ContextTimeoutEnabled: true, Protocol: 2, DisableIdentity: true,
		MaxRetries: retries, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 5 * time.Millisecond,
	})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// leaseWatch is what the records say, seen by a client without faults: which
// leases and intents there are, and from when to when.
type leaseWatch struct {
	held, intents map[string]*sighting
	left          int // held when nobody was at work any more
	halt, done    chan struct{}
}

type sighting struct{ first, last time.Time }

// watchLeases looks at the rows' records every 2 ms until stop.
func watchLeases(t testing.TB, rdb *redis.Client) *leaseWatch {
	w := &leaseWatch{
		held: map[string]*sighting{}, intents: map[string]*sighting{},
		halt: make(chan struct{}), done: make(chan struct{}),
	}
	ctx := context.WithoutCancel(t.Context())
	go func() {
		defer close(w.done)
		for {
			w.look(ctx, rdb)
			select {
			case <-w.halt:
				w.left = w.look(ctx, rdb)
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return w
}

// stop ends the watch with a last look.
func (w *leaseWatch) stop() {
	close(w.halt)
	<-w.done
}

// look notes the lease or the intents of each record and returns how many live
// ones there are.
func (w *leaseWatch) look(ctx context.Context, rdb *redis.Client) (live int) {
	for i := range testkit.HistoryRows {
		rec, err := rdb.Get(ctx, "test:"+strconv.Itoa(i)).Bytes()
		if err != nil {
			continue
		}
		now := rdb.Time(ctx).Val()
		header, err := envelope.ParseHeader(rec)
		if err != nil || header.Until <= now.UnixMilli() {
			continue
		}
		switch {
		case header.Kind == envelope.Intent:
			for at := envelope.HeaderSize; at < len(rec); at += envelope.IntentSize {
				live += note(w.intents, string(rec[at:at+envelope.TokenSize]))
			}
		case header.Token != envelope.NoToken:
			live += note(w.held, header.Token.String())
		}
	}
	return live
}

func note(seen map[string]*sighting, token string) int {
	if seen[token] == nil {
		seen[token] = &sighting{first: time.Now()}
	}
	seen[token].last = time.Now()
	return 1
}

func (w *leaseWatch) longest(seen map[string]*sighting) (d time.Duration) {
	for _, s := range seen {
		d = max(d, s.last.Sub(s.first))
	}
	return d.Round(time.Millisecond)
}
