package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// batchOperations are the operations of several keys, in an order in which each
// has something to do for each key.
func batchOperations(t *testing.T, s *store.Store, n int, each func(name string, run func() []error)) {
	t.Helper()
	ctx := t.Context()
	all := redistest.Keys(n)
	tokens, acquires, commits, entries := make([]envelope.Token, n), make([]store.Acquire, n), make([]store.Commit, n), make([]store.Entry, n)
	for i := range n {
		tokens[i] = envelope.NewToken()
		acquires[i], commits[i] = lead(tokens[i], envelope.Token{}), fill(tokens[i])
		commits[i].Record = room(fmt.Sprint("body", i))
		entries[i] = store.Entry{TTL: time.Minute, CID: envelope.NewToken(), Record: room("body")}
	}
	each("acquire", func() []error {
		grants, captured, errs := acquireMany(ctx, s, all, acquires, tagKey)
		for i := range grants {
			assert.Equal(t, store.Granted, grants[i].Answer)
		}
		assert.NotZero(t, captured[0])
		return errs
	})
	each("renew", func() []error {
		held, errs := renewMany(ctx, s, all, tokens)
		assert.NotContains(t, held, false)
		return errs
	})
	each("commit", func() []error {
		verdicts, reread, errs := commitMany(ctx, s, all, commits, tagKey.Key)
		for i := range verdicts {
			assert.Equal(t, store.Committed, verdicts[i])
		}
		assert.NotZero(t, reread[0])
		return errs
	})
	each("release", func() []error { return releaseMany(ctx, s, all, tokens) })
	each("set", func() []error {
		answers, errs := setMany(ctx, s, all, entries)
		for i := range answers {
			assert.Equal(t, store.SetStored, answers[i])
		}
		return errs
	})
}

func TestEachOperationOfManyIsOneRoundTripAndOneMoreForAForgottenScript(t *testing.T) {
	s, p, beside := through(t)
	store.Learn(s, conn.IsRedis)
	batchOperations(t, s, 50, func(_ string, run func() []error) { run() }) // teaches the server the scripts
	require.NoError(t, beside.Del(t.Context(), redistest.Keys(50)...).Err())
	for _, trips := range []int64{1, 2} {
		batchOperations(t, s, 50, func(name string, run func() []error) {
			if trips == 2 {
				require.NoError(t, beside.ScriptFlush(t.Context()).Err())
			}
			p.Reset()
			for i, err := range run() {
				require.NoError(t, err, "%s %d", name, i)
			}
			assert.Equal(t, trips, p.Exchanges(), name)
		})
		require.NoError(t, beside.Del(t.Context(), redistest.Keys(50)...).Err())
	}
}

func TestOperationsOfManyKeepWhatBelongsToEachKey(t *testing.T) {
	s, _, beside := through(t)
	store.Learn(s, conn.IsRedis)
	ctx := t.Context()
	all := redistest.Keys(4)
	require.NoError(t, beside.LPush(ctx, all[0], "a list").Err())
	_, err := acquire(ctx, s, all[1], lead(bob, envelope.Token{}))
	require.NoError(t, err)
	tokens := []envelope.Token{envelope.NewToken(), envelope.NewToken(), envelope.NewToken(), envelope.NewToken()}
	var acquires []store.Acquire
	var commits []store.Commit
	for i, token := range tokens {
		acquires = append(acquires, lead(token, envelope.Token{}))
		commits = append(commits, fill(token))
		commits[i].Record = room(all[i])
	}
	grants, _, errs := acquireMany(ctx, s, all, acquires)
	for i, want := range []store.Answer{store.Foreign, store.Busy, store.Granted, store.Granted} {
		require.NoError(t, errs[i])
		assert.Equal(t, want, grants[i].Answer, all[i])
	}
	require.NoError(t, beside.Del(ctx, all[3]).Err()) // an invalidation
	held, errs := renewMany(ctx, s, all[1:], tokens[1:])
	assert.Equal(t, []bool{false, true, false}, held)
	assert.Equal(t, make([]error, 3), errs)
	verdicts, _, errs := commitMany(ctx, s, all[1:], commits[1:])
	assert.Equal(t, make([]error, 3), errs)
	assert.Equal(t, []store.Verdict{store.Refused, store.Committed, store.Refused}, verdicts)
	records, err := readAll(ctx, s, all...)
	require.NoError(t, err)
	assert.Nil(t, records[0].Data, "of another type")
	assert.Contains(t, string(records[2].Data), all[2])
	assert.Nil(t, records[3].Data)
}

func TestLeasesAreGivenUpWhereWhatTheyDependOnWasNotCaptured(t *testing.T) {
	s, _, beside := through(t)
	store.Learn(s, conn.IsRedis)
	ctx := t.Context()
	require.NoError(t, beside.LPush(ctx, tagKey.Key, "a list").Err())
	_, _, errs := acquireMany(ctx, s, redistest.Keys(2), []store.Acquire{lead(alice, envelope.Token{}), lead(bob, envelope.Token{})}, tagKey)
	for _, err := range errs {
		require.Error(t, err)
		assert.False(t, store.NotSent(err), "the lease may be held: it must be released")
	}
}

func TestOperationsOfNoKeysAreNotSent(t *testing.T) {
	s, p, _ := through(t)
	batchOperations(t, s, 0, func(name string, run func() []error) {
		if name != "acquire" && name != "commit" {
			assert.Empty(t, run(), name)
		}
	})
	assert.Zero(t, p.Exchanges())
}
