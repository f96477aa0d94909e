package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// acquireAll asks for the leases of all, which must be granted.
func acquireAll(t *testing.T, s *store.Store, all []string) []envelope.Token {
	t.Helper()
	tokens, attempts := make([]envelope.Token, len(all)), make([]store.Acquire, len(all))
	for i := range all {
		tokens[i] = envelope.NewToken()
		attempts[i] = lead(tokens[i], envelope.Token{})
	}
	grants, _, errs := acquireMany(t.Context(), s, all, attempts)
	for i, g := range grants {
		require.NoError(t, errs[i])
		require.Equal(t, store.Granted, g.Answer, all[i])
	}
	return tokens
}

// attempt asks for the leases of all, whatever the answer.
func attempt(t *testing.T, s *store.Store, all []string) ([]store.Grant, []error) {
	t.Helper()
	attempts := make([]store.Acquire, len(all))
	for i := range all {
		attempts[i] = lead(bob, envelope.Token{})
	}
	grants, _, errs := acquireMany(t.Context(), s, all, attempts)
	return grants, errs
}

func TestManyKeysOfOneNodeAreOneScriptForEach64(t *testing.T) {
	for _, test := range []struct {
		keys, body int
		acquires   int64
		commits    int64
	}{
		{keys: 1, body: 10, acquires: 1, commits: 1},
		{keys: 2, body: 10, acquires: 1, commits: 1},
		{keys: 64, body: 10, acquires: 1, commits: 1},
		{keys: 65, body: 10, acquires: 2, commits: 2},
		{keys: 130, body: 10, acquires: 3, commits: 3},
		{keys: 8, body: 100 << 10, acquires: 1, commits: 4}, // two bodies are all that one script gets
		{keys: 3, body: 300 << 10, acquires: 1, commits: 3},
	} {
		t.Run(fmt.Sprint(test.keys, " keys, bodies of ", test.body), func(t *testing.T) {
			s, p, _ := through(t)
			store.Learn(s, conn.IsRedis)
			for i := range 2 { // the first teaches the scripts
				all := redistest.Keys(test.keys)
				for k := range all {
					all[k] += fmt.Sprint(" ", i)
				}
				p.Reset()
				tokens := acquireAll(t, s, all)
				if i > 0 {
					assert.Equal(t, test.acquires, p.CommandsNamed("evalsha"))
					assert.EqualValues(t, 1, p.Exchanges())
				}
				commits := make([]store.Commit, len(all))
				for k := range commits {
					commits[k] = fill(tokens[k])
					commits[k].Record = room(strings.Repeat(string(rune('a'+k%26)), test.body))
				}
				p.Reset()
				verdicts, _, errs := commitMany(t.Context(), s, all, commits)
				for k := range all {
					require.NoError(t, errs[k])
					require.Equal(t, store.Committed, verdicts[k])
				}
				if i > 0 {
					assert.Equal(t, test.commits, p.CommandsNamed("evalsha"))
					assert.EqualValues(t, 1, p.Exchanges())
				}
				records, err := readAll(t.Context(), s, all...)
				require.NoError(t, err)
				for k := range all {
					assert.True(t, strings.HasSuffix(string(records[k].Data), bodyIn(commits[k].Record)), all[k])
					assert.Contains(t, string(records[k].Data[:64]), tokens[k].String())
				}
			}
		})
	}
}

// A key that is in a batch twice is one after the other: the second finds what the
// first has left.
func TestKeyThatIsInABatchTwice(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		store.Learn(s, conn.IsRedis)
		grants, _, errs := acquireMany(t.Context(), s, []string{"k", "other", "k"}, []store.Acquire{
			lead(alice, envelope.Token{}), lead(bob, envelope.Token{}), lead(carol, envelope.Token{}),
		})
		require.Equal(t, make([]error, 3), errs)
		assert.Equal(t, store.Granted, grants[0].Answer)
		assert.Equal(t, store.Granted, grants[1].Answer)
		assert.Equal(t, store.Busy, grants[2].Answer)
		one, two := fill(alice), fill(carol)
		one.Record, two.Record = room("one"), room("two")
		verdicts, _, errs := commitMany(t.Context(), s, []string{"k", "k"}, []store.Commit{one, two})
		require.Equal(t, make([]error, 2), errs)
		assert.Equal(t, []store.Verdict{store.Committed, store.Refused}, verdicts)
	})
}

// acquire and set must not be sent twice, the others may.
func TestScriptOnManyKeysIsSentOnceMoreAfterALostReplyExceptWhereALateCopyHurts(t *testing.T) {
	s, p, beside := through(t)
	store.Learn(s, conn.IsRedis)
	batchOperations(t, s, 3, func(_ string, run func() []error) { run() }) // teaches the scripts
	require.NoError(t, beside.Del(t.Context(), redistest.Keys(3)...).Err())
	p.DropReplyTo(func(args [][]byte) bool { return strings.EqualFold(string(args[0]), "evalsha") })
	p.Reset()
	_, errs := attempt(t, s, redistest.Keys(3))
	for _, err := range errs {
		require.Error(t, err)
		assert.True(t, store.Infrastructure(err), err)
	}
	assert.EqualValues(t, 1, p.CommandsNamed("evalsha"))
	p.DropReplyTo(func(args [][]byte) bool { return strings.EqualFold(string(args[0]), "evalsha") })
	p.Reset()
	held, errs := renewMany(t.Context(), s, redistest.Keys(3), []envelope.Token{bob, bob, bob})
	assert.Equal(t, make([]error, 3), errs)
	assert.Equal(t, []bool{true, true, true}, held, "the acquire whose reply was lost had been granted")
	assert.EqualValues(t, 2, p.CommandsNamed("evalsha"))
}

// full lets the server refuse whatever needs memory.
func full(t *testing.T, c *redis.Client) {
	t.Helper()
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
}

// go-redis loses its place in a list of replies that has an error which it knows, as
// it does OOM: then the connection would give the next caller this batch's answers.
func TestKeysThatFailForLackOfMemoryLeaveTheOthersTheirAnswers(t *testing.T) {
	ctx := t.Context()
	c := redistest.Single(t).Client(t, func(o *redis.Options) { o.PoolSize = 1 })
	s := open(t, c)
	store.Learn(s, conn.IsRedis)
	all := redistest.Keys(10)
	for i, key := range all {
		if i%2 == 0 {
			require.NoError(t, c.Set(ctx, key, "somebody else's", 0).Err())
		}
	}
	full(t, c)
	grants, errs := attempt(t, s, all)
	for i := range all {
		if i%2 == 0 {
			require.NoError(t, errs[i])
			assert.Equal(t, store.Foreign, grants[i].Answer)
			continue
		}
		require.ErrorContains(t, errs[i], ": OOM ")
		assert.True(t, redis.HasErrorPrefix(errs[i], "OOM"), errs[i])
		assert.False(t, store.Infrastructure(errs[i]))
		assert.False(t, store.NotSent(errs[i]))
	}
	records, err := readAll(ctx, s, all...)
	require.NoError(t, err)
	for i := range all {
		assert.Equal(t, i%2 == 0, string(records[i].Data) == "somebody else's")
	}
}

func TestKeysThatAllFailHaveTheErrorOfOne(t *testing.T) {
	ctx := t.Context()
	for _, test := range []struct {
		name, prefix string
		fail         func(t *testing.T, c *redis.Client)
		down         bool
	}{
		{"without memory", "OOM", full, false},
		{"a replica", "READONLY", func(t *testing.T, c *redis.Client) {
			require.NoError(t, c.Do(ctx, "replicaof", "127.0.0.1", "1").Err())
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Single(t)
			c := server.Client(t, func(o *redis.Options) { o.MaxRetries = -1 })
			s := open(t, c)
			store.Learn(s, conn.IsRedis)
			tokens := acquireAll(t, s, redistest.Keys(70))
			test.fail(t, server.Client(t))
			_, want := acquire(ctx, s, "another", lead(bob, envelope.Token{}))
			require.True(t, redis.HasErrorPrefix(want, test.prefix), want)
			commits := make([]store.Commit, len(tokens))
			for i := range commits {
				commits[i] = fill(tokens[i])
			}
			_, _, errs := commitMany(ctx, s, redistest.Keys(70), commits)
			for i, err := range errs {
				require.ErrorContains(t, err, ": "+test.prefix+" ", "%d", i)
				require.True(t, redis.HasErrorPrefix(err, test.prefix), "%d: %v", i, err)
				assert.Equal(t, test.down, store.Infrastructure(err))
			}
			assert.Equal(t, test.down, c.PoolStats().PipelineStats.TotalConns == 0, "the client leaves a server that is a replica")
		})
	}
}

// A user who may not touch one of the keys is told so of this one.
func TestKeyThatTheUserMayNotTouchDoesNotFailTheOthers(t *testing.T) {
	ctx := t.Context()
	server := redistest.Single(t)
	admin := server.Client(t)
	require.NoError(t, admin.Do(ctx, "acl", "setuser", "some", "on", ">secret", "+@all", "~key*", "~calm*").Err())
	c := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "some", "secret" })
	s := open(t, c)
	store.Learn(s, conn.IsRedis)
	for range 2 { // then it knows
		grants, errs := attempt(t, s, []string{"key1", "secret", "key2"})
		require.NoError(t, errs[0])
		assert.True(t, redis.HasErrorPrefix(errs[1], "NOPERM"), errs[1])
		require.NoError(t, errs[2])
		assert.Equal(t, store.Granted, grants[0].Answer)
		assert.Equal(t, store.Granted, grants[2].Answer)
	}
}
