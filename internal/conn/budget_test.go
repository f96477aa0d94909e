package conn_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

// embedder is a client of a type that go-redis does not know.
type embedder struct{ *redis.Client }

// stranger shows no options.
type stranger struct{ redis.UniversalClient }

// contexts makes a client honour deadlines.
func contexts(o *redis.Options) { o.ContextTimeoutEnabled = true }

// brief lets a test that leaves commands behind end before long.
func brief(o *redis.Options) { o.ReadTimeout = time.Second }

// kinds are clients of one server, and whether they honour deadlines.
func kinds(t *testing.T, addr string) map[string]redis.UniversalClient {
	t.Helper()
	ring := func(inline bool) *redis.Ring {
		r := redis.NewRing(&redis.RingOptions{
			Addrs: map[string]string{"one": addr}, ReadTimeout: time.Second, ContextTimeoutEnabled: inline,
			HeartbeatFrequency: time.Hour, // nobody but the tests asks
		})
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		return r
	}
	return map[string]redis.UniversalClient{
		"plain":                   redistest.Dial(t, addr, brief),
		"plain, inline":           redistest.Dial(t, addr, contexts),
		"embedded":                embedder{redistest.Dial(t, addr, brief)},
		"embedded, inline":        embedder{redistest.Dial(t, addr, contexts)},
		"unknown":                 stranger{redistest.Dial(t, addr, contexts, brief)},
		"without socket timeouts": redistest.Dial(t, addr, contexts, func(o *redis.Options) { o.ReadTimeout = -2 }),
		"ring":                    ring(false),
		"ring, inline":            ring(true),
	}
}

var inlineKinds = map[string]bool{"plain, inline": true, "embedded, inline": true, "ring, inline": true}

func TestCommandsRunInlineOnlyOnClientsThatHonourDeadlines(t *testing.T) {
	for name, c := range kinds(t, redistest.Mini(t).Addr()) {
		s := open(t, c)
		assert.Equal(t, inlineKinds[name], s.Inline(), name)
		if inlineKinds[name] {
			assert.Empty(t, s.Warnings(), name)
		} else {
			assert.Len(t, s.Warnings(), 1, name)
		}
		require.NoError(t, put(t.Context(), s, "k", nil), name)
	}
}

// call is an operation on a server that does not answer, and what is to be said of it.
type call struct {
	name  string
	after func(*conn.Client) time.Duration // the caller is let go, give or take
	run   func(context.Context, *conn.Client) error
	check func(t assert.TestingT, err error)
}

// calls are operations with either budget, and callers with less time.
func calls() []call {
	overran := func(t assert.TestingT, err error) {
		assert.ErrorIs(t, err, conn.ErrBudget)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.True(t, conn.Infrastructure(err))
	}
	bare := func(want error) func(t assert.TestingT, err error) {
		return func(t assert.TestingT, err error) {
			assert.Equal(t, want, err) //nolint:testifylint // bare
			assert.False(t, conn.Infrastructure(err))
		}
	}
	always := func(d time.Duration) func(*conn.Client) time.Duration {
		return func(*conn.Client) time.Duration { return d }
	}
	readK := func(ctx context.Context, s *conn.Client) error { _, err := read(ctx, s, "k"); return err }
	const soon = 40 * time.Millisecond
	return []call{
		{"read", always(conn.DefaultReadBudget), readK, overran},
		{"a script", always(conn.DefaultScriptBudget), func(ctx context.Context, s *conn.Client) error {
			_, errs := del(ctx, s, "k")
			return errors.Join(errs...)
		}, overran},
		{"a script that is sent once", always(conn.DefaultScriptBudget), func(ctx context.Context, s *conn.Client) error {
			return put(ctx, s, "k", nil)
		}, overran},
		{"scripts", always(conn.DefaultScriptBudget), func(ctx context.Context, s *conn.Client) error {
			_, errs := del(ctx, s, "k", "k{k}")
			return errors.Join(errs...)
		}, overran},
		// A read leaves its caller a third of its time, to load.
		{"a read with a nearer deadline", always(soon * 2 / 3), func(ctx context.Context, s *conn.Client) error {
			ctx, cancel := context.WithTimeout(ctx, soon)
			defer cancel()
			return readK(ctx, s)
		}, overran},
		{"a change with a nearer deadline", always(soon), func(ctx context.Context, s *conn.Client) error {
			ctx, cancel := context.WithTimeout(ctx, soon)
			defer cancel()
			return put(ctx, s, "k", nil)
		}, bare(context.DeadlineExceeded)},
		// At once unless go-redis holds the caller, and then with the budget.
		{"a caller who gives up", func(s *conn.Client) time.Duration {
			if s.Inline() {
				return conn.DefaultReadBudget
			}
			return soon
		}, func(ctx context.Context, s *conn.Client) error {
			ctx, cancel := context.WithCancel(ctx)
			defer time.AfterFunc(soon, cancel).Stop()
			return readK(ctx, s)
		}, bare(context.Canceled)},
	}
}

// within asserts that the call takes at least most of its time and not twice that, and
// what check has to say of its error. The machine may be busy, so the upper bound has some
// absolute room, and who is late is asked again: as often as the breaker allows.
func (c call) within(t *testing.T, kind string, s *conn.Client) {
	t.Helper()
	d := c.after(s)
	for left := 4; ; left-- {
		start := time.Now()
		err := c.run(t.Context(), s)
		took := time.Since(start)
		t.Logf("%-24s %-22s %v of %v", kind, c.name, took.Round(time.Millisecond), d)
		assert.GreaterOrEqual(t, took, d*9/10, "%s, %s", kind, c.name)
		if took >= 2*d+100*time.Millisecond && left > 0 {
			continue
		}
		assert.Less(t, took, 2*d+100*time.Millisecond, "%s, %s", kind, c.name)
		var said complaint
		if c.check(&said, err); said == "" || left == 0 {
			assert.Empty(t, said, "%s, %s", kind, c.name)
			return
		}
	}
}

// complaint is what a check found.
type complaint string

func (c *complaint) Errorf(format string, args ...any) { *c += complaint(fmt.Sprintf(format, args...)) }

// That a read had no answer speaks against Redis only if it had at least half of the
// budget: callers with little time must not make others go without a cache.
func TestOnlyReadsThatHadTimeOpenTheBreaker(t *testing.T) {
	for _, test := range []struct {
		name  string
		has   time.Duration
		reads int
		opens bool
	}{
		{"two thirds of the caller's time are half of the budget", 80 * time.Millisecond, 6, true},
		{"they are less", 60 * time.Millisecond, 5, false},
		{"they are less, and no read had an answer for longer than the budget", 60 * time.Millisecond, 10, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			for name, client := range kinds(t, "127.0.0.1:1") {
				client.AddHook(deaf{})
				s := openWith(t, client, conn.Options{})
				for range test.reads { // five failures in a row open it
					ctx, cancel := context.WithTimeout(t.Context(), test.has)
					_, err := read(ctx, s, "k")
					cancel()
					if !errors.Is(err, conn.ErrOpen) {
						assert.ErrorIs(t, err, conn.ErrBudget, name)
					}
				}
				assert.Equal(t, test.opens, s.Open(), "%s: %s", test.name, name)
			}
		})
	}
}

// deaf is a hook that gives no answer until its caller's time is over.
type deaf struct{}

func (deaf) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (deaf) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, _ []redis.Cmder) error {
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestFrozenServerCostsTheBudgetWhateverTheClient(t *testing.T) {
	server := redistest.Single(t)
	frozen(t, func() map[string]redis.UniversalClient { return kinds(t, server.Addr()) }, server.Pause, server.Resume)
}

// frozen checks the budgets of stores on clients of each kind while their server is
// stopped. All calls are made at once, each with a client, and so a breaker, of its own.
func frozen(t *testing.T, kinds func() map[string]redis.UniversalClient, pause, resume func()) {
	t.Helper()
	var all []*conn.Client
	var here, gone sync.WaitGroup
	stopped := make(chan struct{})
	for _, c := range calls() {
		for kind, client := range kinds() {
			s := conn.New(client, conn.Options{})
			all = append(all, s)
			here.Go(func() { warm(t, s) })
			gone.Go(func() { <-stopped; c.within(t, kind, s) })
		}
	}
	here.Wait()
	pause()
	defer resume()
	close(stopped)
	gone.Wait()
	resume()
	for _, s := range all {
		require.Eventually(t, func() bool { return s.Close() == nil }, patience, 10*time.Millisecond)
		_, err := read(t.Context(), s, "k")
		require.ErrorIs(t, err, conn.ErrClosed)
	}
}

// warm waits until both budgets are enough for a command.
func warm(t *testing.T, s *conn.Client) {
	answers(t, func() error { _, err := read(t.Context(), s, "k"); return err })
	answers(t, func() error { return put(t.Context(), s, "other", nil) })
}

func TestCallerWhoseTimeIsOverSendsNothing(t *testing.T) {
	s, p, _ := through(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := read(ctx, s, "k")
	assert.Equal(t, context.Canceled, err) //nolint:testifylint // bare
	err = put(ctx, s, "k", nil)
	assert.Equal(t, context.Canceled, err) //nolint:testifylint // bare
	assert.Zero(t, p.Exchanges())
}

func TestServerThatIsGoneIsAnInfrastructureError(t *testing.T) {
	server := redistest.Single(t)
	s := open(t, server.Client(t, contexts, func(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 }))
	server.Kill()
	_, err := read(t.Context(), s, "k")
	require.Error(t, err)
	assert.True(t, conn.Infrastructure(err), err)
	err = put(t.Context(), s, "k", nil)
	require.Error(t, err)
	assert.True(t, conn.Infrastructure(err), err)
	server.Restart()
	_, err = read(t.Context(), s, "k")
	require.NoError(t, err)
}

func TestBodyOfACallerWhoLeftIsNotSharedWithTheCommandLeftBehind(t *testing.T) {
	m := redistest.Mini(t)
	p := redistest.NewProxy(t, m.Addr())
	beside := redistest.Dial(t, m.Addr())
	gate := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	c := redistest.Dial(t, p.Addr())
	c.AddHook(gate)
	s := open(t, c)
	require.False(t, s.Inline())
	body := []byte("as it was")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-gate.reached
		cancel()
	}()
	err := put(ctx, s, "k", body)
	require.ErrorIs(t, err, context.Canceled)
	copy(body, "scribbled over")
	close(gate.open)
	require.NoError(t, s.Close())
	assert.Equal(t, "as it was", beside.Get(t.Context(), "k").Val())
}

// gate is a hook that holds commands back, and sends them whatever their context
// says by then.
type gate struct{ reached, open chan struct{} }

func (*gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "evalsha":
			close(g.reached)
			<-g.open
		case "eval":
		default:
			return next(ctx, cmd)
		}
		return next(context.WithoutCancel(ctx), cmd)
	}
}

func (*gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A clone of the client by WithTimeout would spare a goroutine for each command,
// and has none of the client's hooks: what traces commands, or changes their keys,
// would be passed by.
func TestHooksOfAClientThatDoesNotHonourDeadlinesSeeItsCommands(t *testing.T) {
	c := redistest.Dial(t, redistest.Mini(t).Addr())
	s := open(t, c)
	c.AddHook(veto{})
	_, err := read(t.Context(), s, "k")
	assert.ErrorIs(t, err, errVeto)
	pipe := c.WithTimeout(time.Second).Pipeline()
	pipe.Get(t.Context(), "k")
	_, err = pipe.Exec(t.Context())
	assert.NotErrorIs(t, err, errVeto, "once clones keep the hooks, plain clients can do without goroutines")
}

func TestGoroutinesForCommandsAreUsedAgainAndEndWithTheStore(t *testing.T) {
	c := redistest.Dial(t, redistest.Mini(t).Addr())
	s := conn.New(c, conn.Options{})
	for range 100 {
		_, err := read(t.Context(), s, "k")
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, conn.IdleWorkers(s), 2)
	require.NoError(t, s.Close())
	assert.Zero(t, conn.IdleWorkers(s))
}
