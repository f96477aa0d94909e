package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// claimer is a store that knows the clock of its only Redis, a proxy between them,
// and a client beside the proxy.
type claimer struct {
	*store.Store
	proxy  *redistest.Proxy
	beside *redis.Client
}

func claiming(t *testing.T, mutate ...func(*redis.Options)) claimer {
	t.Helper()
	server := redistest.Single(t)
	p := redistest.NewProxy(t, server.Addr())
	return claimer{open(t, dial(t, p.Addr(), mutate...)), p, server.Client(t)}
}

// acquire is an acquire by who of what was seen to be missing, with the clock known.
func (c claimer) acquire(t *testing.T, key string, who envelope.Token) (store.Grant, error) {
	t.Helper()
	c.tellTime(t)
	return c.Acquire(t.Context(), key, lead(who, envelope.Token{}))
}

// tellTime has the store ask for the time, if it has to.
func (c claimer) tellTime(t *testing.T) {
	t.Helper()
	_, err := c.ReadMany(t.Context(), keys(1))
	require.NoError(t, err)
	require.NotZero(t, c.Earliest())
}

// sent is how often the commands of a claim and of a script were sent since Reset.
func (c claimer) sent() [2]int64 {
	return [2]int64{c.proxy.CommandsNamed("set"), c.proxy.CommandsNamed("evalsha")}
}

func TestLeaseOfWhatIsNotThereNeedsNoScript(t *testing.T) {
	c := claiming(t)
	g, err := c.acquire(t, "k", alice)
	require.NoError(t, err)
	assert.Equal(t, store.Granted, g.Answer)
	assert.Equal(t, [2]int64{1, 0}, c.sent())
	verdict, _, err := c.Commit(t.Context(), "k", fill(alice))
	require.NoError(t, err)
	assert.Equal(t, store.Committed, verdict)
}

func TestWhatIsNotSurelyAMissIsAcquiredByTheScript(t *testing.T) {
	c := claiming(t)
	ctx := t.Context()
	for name, change := range map[string]func(*store.Acquire){
		"a record was seen":   func(a *store.Acquire) { a.Seen = bob },
		"only a lease was":    func(a *store.Acquire) { a.Seen = envelope.NoToken },
		"it was invalid":      func(a *store.Acquire) { a.Invalid = true },
		"tokens are captured": func(a *store.Acquire) { a.Capture = []store.TokenKey{tagKey} },
	} {
		c.tellTime(t)
		c.proxy.Reset()
		a := lead(alice, envelope.Token{})
		change(&a)
		g, err := c.Acquire(ctx, name, a)
		require.NoError(t, err, name)
		assert.Equal(t, store.Granted, g.Answer, name)
		assert.Zero(t, c.proxy.CommandsNamed("set"), name)
	}
}

func TestWithoutAClockTheScriptAcquires(t *testing.T) {
	c := claiming(t)
	_, err := c.Acquire(t.Context(), "k", lead(alice, envelope.Token{}))
	require.NoError(t, err)
	assert.Equal(t, [2]int64{0, 1}, c.sent())
}

// Whatever has come under the key since it was read: claim and script answer the
// same, and leave the same behind, but for the time.
func TestClaimDoesWhatTheScriptDoes(t *testing.T) {
	c := claiming(t)
	byScript := open(t, c.beside) // has never asked for the time
	ctx := t.Context()
	for _, st := range states() {
		require.NoError(t, st.put(ctx, c.beside, "claim "+st.name))
		require.NoError(t, st.put(ctx, c.beside, "script "+st.name))
		got, err := c.acquire(t, "claim "+st.name, bob)
		require.NoError(t, err, st.name)
		want, err := byScript.Acquire(ctx, "script "+st.name, lead(bob, envelope.Token{}))
		require.NoError(t, err, st.name)

		assert.Equal(t, string(want.Answer), string(got.Answer), st.name)
		assert.Equal(t, want.Left > 0, got.Left > 0, st.name)
		assert.Equal(t, string(want.Record.Data), string(got.Record.Data), st.name)
		assert.Equal(t, clock(dump(ctx, t, c.beside, "script "+st.name)), clock(dump(ctx, t, c.beside, "claim "+st.name)), st.name)
	}
	assert.EqualValues(t, len(states()), c.proxy.CommandsNamed("set"), "all of them were claimed")
	assert.EqualValues(t, len(states())-1, c.proxy.CommandsNamed("evalsha"), "and only one was missing")
}

// 1. A and B read nothing.
// 2. A claims.
// 3. B's SET finds A's lease: it is told of it.
// 4. B may not commit, A may.
func TestOfTwoWhoClaimOneIsGranted(t *testing.T) {
	c := claiming(t)
	a, err := c.acquire(t, "k", alice)
	require.NoError(t, err)
	assert.Equal(t, store.Granted, a.Answer)
	b, err := c.acquire(t, "k", bob)
	require.NoError(t, err)
	assert.Equal(t, store.Busy, b.Answer)
	assert.Positive(t, b.Left)
	assert.LessOrEqual(t, b.Left, time.Minute)
	for who, want := range map[envelope.Token]store.Verdict{bob: store.Refused, alice: store.Committed} {
		verdict, _, err := c.Commit(t.Context(), "k", fill(who))
		require.NoError(t, err)
		assert.Equal(t, want, verdict, who)
	}
}

func TestOfManyWhoClaimOneIsGranted(t *testing.T) {
	c := claiming(t)
	for round := range 20 {
		c.tellTime(t)
		key, granted := fmt.Sprint("k", round), make([]bool, 8)
		var all sync.WaitGroup
		for i := range granted {
			all.Go(func() {
				g, err := c.Acquire(t.Context(), key, lead(envelope.NewToken(), envelope.Token{}))
				assert.NoError(t, err)
				granted[i] = g.Answer == store.Granted
			})
		}
		all.Wait()
		assert.Equal(t, 1, strings.Count(fmt.Sprint(granted), "true"))
	}
}

// 1. A reads nothing.
// 2. W writes, and invalidates what is not there: no record tells of it.
// 3. A claims, and is granted: what it loads from here on, W has written.
// 4. W writes again and invalidates: A's lease is gone, and with it A's commit.
func TestClaimAfterAnInvalidationIsGrantedAndBeforeOneIsVoid(t *testing.T) {
	c := claiming(t)
	ctx := t.Context()
	answer, err := c.Invalidate(ctx, "k", store.Notice{})
	require.NoError(t, err)
	assert.Equal(t, store.NothingThere, answer)
	g, err := c.acquire(t, "k", alice)
	require.NoError(t, err)
	assert.Equal(t, store.Granted, g.Answer)

	answer, err = c.Invalidate(ctx, "k", store.Notice{})
	require.NoError(t, err)
	assert.Equal(t, store.Removed, answer)
	verdict, _, err := c.Commit(ctx, "k", fill(alice))
	require.NoError(t, err)
	assert.Equal(t, store.Refused, verdict)
}

// 1. A reads nothing.
// 2. W opens its intent.
// 3. A's SET finds it, and A is told of the write.
func TestClaimDoesNotOverwriteAWriteIntent(t *testing.T) {
	c := claiming(t)
	_, _, err := c.BeginWrite(t.Context(), "k", bob, time.Minute)
	require.NoError(t, err)
	g, err := c.acquire(t, "k", alice)
	require.NoError(t, err)
	assert.Equal(t, store.Writing, g.Answer)
}

//  1. A's SET is on its way; A gives it up.
//  2. Would A's client send it again, A would be granted the lease, and load.
//  3. W writes and invalidates.
//  4. The first copy arrives: A's token is back, and A's commit would be accepted.
//
// So there is no second copy, nor the script in its place.
func TestClaimIsSentOnce(t *testing.T) {
	c := claiming(t)
	c.tellTime(t)
	c.proxy.Reset()
	c.proxy.DropReplyTo(func(args [][]byte) bool { return strings.EqualFold(string(args[0]), "set") })
	_, err := c.Acquire(t.Context(), "k", lead(alice, envelope.Token{}))
	require.Error(t, err)
	assert.True(t, store.Infrastructure(err), err)
	assert.False(t, store.NotSent(err), "the lease may be there: the caller releases it")
	assert.Equal(t, [2]int64{1, 0}, c.sent())
	released, err := c.Release(t.Context(), "k", alice, 0)
	require.NoError(t, err)
	assert.True(t, released)
}

// Readers judge the age of what is loaded by the time of the grant. The reply that
// tells the time is late: by then the latest that it can be is far from the earliest.
func TestTheTimeOfAClaimIsNeverLaterThanThatOfRedis(t *testing.T) {
	c := claiming(t)
	ctx := t.Context()
	for round := range 5 {
		c.proxy.Delay(40 * time.Millisecond)
		c.tellTime(t)
		c.proxy.Delay(0)
		for i := range 20 {
			key := fmt.Sprint(round, " ", i)
			g, err := c.acquire(t, key, alice)
			after := c.beside.Time(ctx).Val()
			require.NoError(t, err)
			require.LessOrEqual(t, g.Now, after.UnixMilli())
			require.Positive(t, g.Now)
			h, err := envelope.ParseHeader([]byte(c.beside.Get(ctx, key).Val()))
			require.NoError(t, err)
			require.Equal(t, g.Now+time.Minute.Milliseconds(), h.Until)
		}
	}
	assert.Equal(t, [2]int64{100, 0}, c.sent())
}

func TestAServerThatRefusesSetIsNotAskedAgain(t *testing.T) {
	c := claiming(t, func(o *redis.Options) { o.Username, o.Password = "reader", "any" })
	require.NoError(t, c.beside.Do(t.Context(), "acl", "setuser", "reader", "on", "nopass", "~*", "+@all", "-set").Err())
	for range 3 {
		_, err := c.acquire(t, "k", alice)
		require.Error(t, err, "nor may the script")
	}
	assert.EqualValues(t, 1, c.proxy.CommandsNamed("set"))
	assert.Positive(t, c.proxy.CommandsNamed("eval")+c.proxy.CommandsNamed("evalsha"))
}
