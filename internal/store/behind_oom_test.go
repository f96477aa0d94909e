package store_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// A server without memory refuses puts as a whole, and still lets the workers
// get rid of what is dirty.
func TestWBOOM(t *testing.T) {
	const limit = 4 << 20
	b := newRealBehind(t, redistest.MaxMemory(limit, "noeviction"))
	ctx := t.Context()
	body := make([]byte, 20_000)
	puts, versions := 0, map[string]uint64{}
	for ; puts < 1000; puts++ {
		key := strconv.Itoa(puts)
		v, _, err := b.store.Put(ctx, store.Put{Partition: part, Key: key, Body: body, MaxDirty: 1000})
		if err != nil {
			assert.True(t, redis.HasErrorPrefix(err, "OOM"), "%v", err)
			break
		}
		versions[key] = v
	}
	require.Less(t, puts, 1000, "the limit was never reached: the test is blind")
	require.Greater(t, puts, 10)
	assert.Equal(t, [4]int64{int64(puts), int64(puts), 0, 0}, b.counts(), "no partial writes")
	assert.Equal(t, puts, b.recordsThere(ctx, puts+1))
	_, _, err := b.store.Put(ctx, store.Put{Partition: part, Key: "0", Body: body, MaxDirty: 1000})
	require.Error(t, err)
	assert.Equal(t, versions["0"], b.dirty("0"), "a refused put over a dirty key changes nothing either")

	tickets := b.take("worker")
	b.bury(settlement(tickets[0], versions["0"]))
	for _, ticket := range tickets[1:] {
		s := settlement(ticket, versions[ticket.Key])
		s.TTL = 0
		require.Equal(t, store.SettledClean, b.ack(s))
	}
	for _, ticket := range b.take("worker") {
		b.ack(settlement(ticket, versions[ticket.Key]))
	}
	assert.Equal(t, [4]int64{0, 0, 1, 1}, b.counts())
}

// recordsThere counts the records of the first n keys.
func (b *behind) recordsThere(ctx context.Context, n int) (there int) {
	b.t.Helper()
	for i := range n {
		there += int(b.redis.Exists(ctx, part.Record(strconv.Itoa(i))).Val())
	}
	return there
}
