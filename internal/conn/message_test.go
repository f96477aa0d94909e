package conn_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
)

func TestAnswersOfAScriptOnManyKeysThatCannotBe(t *testing.T) {
	ok := []any{[]any{int64(1), nil}, []any{int64(2), "OOM no memory"}}
	replies, errs, good := conn.SortEach(ok, 2)
	require.True(t, good)
	assert.Equal(t, []any{int64(1), nil}, replies)
	require.NoError(t, errs[0])
	assert.True(t, redis.HasErrorPrefix(errs[1], "OOM"))
	for _, reply := range []any{
		nil, int64(1), "OK",
		[]any{},
		[]any{int64(1), int64(1)},
		[]any{[]any{int64(1), int64(1)}},
		[]any{[]any{int64(1)}, []any{}},
		[]any{[]any{int64(1), int64(1), int64(1)}, []any{}},
		[]any{[]any{int64(1), int64(1)}, []any{int64(1)}},
		[]any{[]any{int64(1), int64(1)}, []any{int64(0), "ERR"}},
		[]any{[]any{int64(1), int64(1)}, []any{int64(3), "ERR"}},
		[]any{[]any{int64(1), int64(1)}, []any{"1", "ERR"}},
		[]any{[]any{int64(1), int64(1)}, []any{int64(1), int64(1)}},
	} {
		_, _, good := conn.SortEach(reply, 2)
		assert.False(t, good, reply)
	}
}
