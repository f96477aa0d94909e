package protocol_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// A record of ours that a reader cannot name, because it is cut short or has no CID, is
// damage like any other: one load replaces it.
func TestARecordThatNobodyCanNameIsReplacedByOneLoad(t *testing.T) {
	whole := string(envelope.AppendHeader(nil, envelope.Header{Kind: envelope.Value, CID: envelope.NewToken()}))
	zero := string(make([]byte, envelope.TokenSize))
	for name, record := range map[string]string{
		"a dirty record cut short":       "K1D",
		"a dirty record without its end": "K1D" + whole[3:79],
		"an intent cut short":            "K1W0000",
		"a value cut short":              whole[:50],
		"a value with a zero CID":        whole[:45] + zero + whole[61:] + "body",
		"a lease with a zero CID":        "K1L" + whole[3:45] + zero + whole[61:],
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Single(t)
			link := redistest.NewProxy(t, server.Addr())
			client := server.Client(t, func(o *redis.Options) { o.Addr = link.Addr() })
			c := testkit.NewCache[int](t, client)
			require.NoError(t, client.Set(t.Context(), testkit.RedisKey, record, time.Hour).Err())
			link.Reset()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			got, err := c.GetOrLoad(ctx, "k", testkit.Value(7))
			assert.LessOrEqual(t, link.CommandsNamed("evalsha")+link.CommandsNamed("eval"), int64(10), "scripts of one call")
			require.NoError(t, err)
			assert.Equal(t, 7, got)
			got, err = c.GetOrLoad(t.Context(), "k", testkit.MustNotLoad[int](t))
			require.NoError(t, err)
			assert.Equal(t, 7, got)
			require.True(t, strings.HasPrefix(client.Get(t.Context(), testkit.RedisKey).Val(), "K1V"))
		})
	}
}
