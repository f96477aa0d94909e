package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// manyColumn is one operation of the matrix for several keys at once.
type manyColumn struct {
	name string
	do   func(ctx context.Context, s *store.Store, keys []string, notice func(i int) store.Notice) ([]any, []error)
}

// anys are the elements of all, and errs with an element for each of them.
func anys[E any](all []E, errs []error) ([]any, []error) {
	each := make([]any, len(all))
	for i := range all {
		each[i] = all[i]
	}
	if errs == nil {
		errs = make([]error, len(all))
	}
	return each, errs
}

func manyColumns() []manyColumn {
	acquire := func(t, seen envelope.Token, invalid bool) func(context.Context, *store.Store, []string, func(int) store.Notice) ([]any, []error) {
		return func(ctx context.Context, s *store.Store, keys []string, _ func(int) store.Notice) ([]any, []error) {
			attempts := make([]store.Acquire, len(keys))
			for i := range attempts {
				attempts[i] = store.Acquire{Token: t, Lease: time.Minute, Retain: time.Hour, Seen: seen, Invalid: invalid}
			}
			grants, _, errs := s.AcquireMany(ctx, keys, attempts, nil)
			letters := make([]string, len(grants))
			for i := range grants {
				letters[i] = string(grants[i].Answer)
			}
			return anys(letters, errs)
		}
	}
	commit := func(ttl time.Duration, absent bool) func(context.Context, *store.Store, []string, func(int) store.Notice) ([]any, []error) {
		return func(ctx context.Context, s *store.Store, keys []string, notice func(int) store.Notice) ([]any, []error) {
			commits := make([]store.Commit, len(keys))
			for i := range commits {
				commits[i] = store.Commit{Token: alice, TTL: ttl, Version: 5, Body: []byte("new"), Absent: absent, Notice: notice(i)}
			}
			verdicts, _, errs := s.CommitMany(ctx, keys, commits, nil)
			return anys(verdicts, errs)
		}
	}
	set := func(version uint64) func(context.Context, *store.Store, []string, func(int) store.Notice) ([]any, []error) {
		return func(ctx context.Context, s *store.Store, keys []string, notice func(int) store.Notice) ([]any, []error) {
			entries := make([]store.Entry, len(keys))
			for i := range entries {
				entries[i] = store.Entry{Version: version, TTL: time.Minute, CID: alice, Body: []byte("new"), Notice: notice(i)}
			}
			answers, errs := s.SetMany(ctx, keys, entries)
			letters := make([]string, len(answers))
			for i := range answers {
				letters[i] = string(answers[i])
			}
			return anys(letters, errs)
		}
	}
	return []manyColumn{
		{"acq", acquire(bob, envelope.Token{}, false)},
		{"own", acquire(alice, envelope.Token{}, false)},
		{"seen", acquire(bob, alice, false)},
		{"inv", acquire(bob, alice, true)},
		{"com", commit(time.Minute, false)},
		{"com0", commit(0, false)},
		{"coma", commit(time.Minute, true)},
		{"ren", func(ctx context.Context, s *store.Store, keys []string, _ func(int) store.Notice) ([]any, []error) {
			return anys(s.RenewMany(ctx, keys, repeated(alice, len(keys)), time.Minute, time.Hour))
		}},
		{"rel", func(ctx context.Context, s *store.Store, keys []string, _ func(int) store.Notice) ([]any, []error) {
			return make([]any, len(keys)), s.ReleaseMany(ctx, keys, repeated(alice, len(keys)), time.Minute)
		}},
		{"set", set(5)},
		{"set0", set(0)},
		{"invd", func(ctx context.Context, s *store.Store, keys []string, notice func(int) store.Notice) ([]any, []error) {
			return anys(s.InvalidateMany(ctx, keys, notice))
		}},
		{"exp", func(ctx context.Context, s *store.Store, keys []string, notice func(int) store.Notice) ([]any, []error) {
			return anys(s.ExpireMany(ctx, keys, time.Minute, notice))
		}},
	}
}

func repeated(t envelope.Token, n int) []envelope.Token {
	all := make([]envelope.Token, n)
	for i := range all {
		all[i] = t
	}
	return all
}

// cellsOf is the matrix by state and operation.
func cellsOf(matrix string) map[string]string {
	lines := strings.Split(strings.TrimSpace(matrix), "\n")
	names, cells := strings.Fields(lines[0]), map[string]string{}
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		for i, name := range names {
			cells[fields[0]+"/"+name] = fields[1+i]
		}
	}
	return cells
}

// What one key is answered, and what becomes of it, does not depend on how many keys
// are asked about with it. The numbers are those at which one script on many keys
// begins, is full, is followed by one key alone, and by another.
func TestMatrixHoldsForEachOfManyKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *redis.Client) {
		t.Run("by scripts on many keys", func(t *testing.T) {
			s := open(t, c)
			store.TakeForRedis(s)
			matrixHoldsForMany(t, c, s)
		})
		t.Run("key by key", func(t *testing.T) { matrixHoldsForMany(t, c, open(t, c)) })
	})
}

func matrixHoldsForMany(t *testing.T, c *redis.Client, s *store.Store) {
	t.Helper()
	want, ctx := cellsOf(matrix), t.Context()
	require.NoError(t, c.FlushAll(ctx).Err())
	sub := c.Subscribe(ctx, "notices")
	defer func() { require.NoError(t, sub.Close()) }()
	_, err := sub.Receive(ctx)
	require.NoError(t, err)
	got, expected := map[string]string{}, map[string]string{}
	for _, n := range []int{1, 2, 64, 65, 130} {
		for _, col := range manyColumns() {
			for key, cell := range manyCells(ctx, t, c, s, col, n) {
				state, _, _ := strings.Cut(key, " ")
				got[key], expected[key] = cell, want[state+"/"+col.name]
				if col.name == "rel" { // it does not say
					expected[key] = "<nil>" + expected[key][1:]
				}
			}
		}
	}
	require.NoError(t, c.Publish(ctx, "notices", "end").Err())
	for {
		m, err := sub.ReceiveMessage(ctx)
		require.NoError(t, err)
		if m.Payload == "end" {
			break
		}
		got[m.Payload] += "!"
	}
	assert.Equal(t, expected, got)
}

// manyCells is what col does to n keys at once, which are in one state after the
// other.
func manyCells(ctx context.Context, t *testing.T, c *redis.Client, s *store.Store, col manyColumn, n int) map[string]string {
	t.Helper()
	all, as := make([]string, n), states()
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) (err error) {
		for i := range all {
			st := as[i%len(as)]
			all[i] = fmt.Sprintf("%s %s %d of %d", st.name, col.name, i, n)
			err = errors.Join(err, st.put(ctx, p, all[i]))
		}
		return err
	})
	require.NoError(t, err)
	before := dump(ctx, t, c, all...)
	answers, errs := col.do(ctx, s, all, func(i int) store.Notice {
		return store.Notice{Channel: "notices", Message: all[i]}
	})
	require.Len(t, answers, n)
	cells, after := map[string]string{}, dump(ctx, t, c, all...)
	for i, key := range all {
		require.NoError(t, errs[i], key)
		cells[key] = described(answers[i], before[i], after[i])
	}
	return cells
}
