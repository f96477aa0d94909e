package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

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
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		t.Run("by scripts on many keys", func(t *testing.T) {
			s := open(t, c)
			store.Learn(s, conn.IsRedis)
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
		for _, col := range columns() {
			for key, cell := range manyCells(ctx, t, c, s, col, n) {
				state, _, _ := strings.Cut(key, " ")
				got[key], expected[key] = cell, want[state+"/"+col.name]
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
func manyCells(ctx context.Context, t *testing.T, c *redis.Client, s *store.Store, col column, n int) map[string]string {
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
	answers, errs := col.do(ctx, s, all, func(key string) store.Notice {
		return store.Notice{Channel: "notices", Message: key}
	})
	require.Len(t, answers, n)
	cells, after := map[string]string{}, dump(ctx, t, c, all...)
	for i, key := range all {
		require.NoError(t, errs[i], key)
		cells[key] = described(answers[i], before[i], after[i])
	}
	return cells
}
