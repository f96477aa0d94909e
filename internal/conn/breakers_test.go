package conn_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

// Batches whose budget ran out speak against the server as single keys do, though
// each of their keys has no more than a context's error to show for it.
func TestBatchesThatAreNotAnsweredOpenTheBreaker(t *testing.T) {
	t.Parallel()
	keys := make([]string, 8)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	tests := []struct {
		name string
		call func(s *conn.Client) error
	}{
		{"reads", func(s *conn.Client) error { _, err := readAll(t.Context(), s, keys...); return err }},
		{"scripts", func(s *conn.Client) error {
			_, errs := del(t.Context(), s, keys...)
			return errors.Join(errs...)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Single(t)
			s := openWith(t, server.Client(t), conn.Options{ReadBudget: 50 * time.Millisecond, ScriptBudget: 50 * time.Millisecond})
			require.Eventually(t, func() bool { _, err := read(t.Context(), s, "k"); return err == nil }, patience, time.Millisecond)
			server.Pause()
			for range 4 {
				require.ErrorIs(t, test.call(s), conn.ErrBudget)
				assert.False(t, s.Open(), "a batch is one failure, however many keys it has")
			}
			require.ErrorIs(t, test.call(s), conn.ErrBudget)
			assert.True(t, s.Open())
			assert.ErrorIs(t, test.call(s), conn.ErrOpen)
			server.Resume()
			require.Eventually(t, func() bool { return test.call(s) == nil }, patience, time.Millisecond)
			assert.False(t, s.Open())
		})
	}
}
