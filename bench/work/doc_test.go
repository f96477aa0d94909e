package work_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/bench/work"
)

func TestDocumentsHaveTheSizeThatIsAskedFor(t *testing.T) {
	for _, size := range []int{work.Flat, work.Nested, 10 << 10, work.List, 1 << 20} {
		data, err := json.Marshal(work.New(4711, size))
		require.NoError(t, err)
		assert.InEpsilon(t, size, len(data), 0.1, "%d bytes asked, %d made", size, len(data))
	}
}

func TestAKeyLeadsToItsDocument(t *testing.T) {
	doc, err := work.Instant(work.Nested)(t.Context(), work.Key(4711))
	require.NoError(t, err)
	assert.Equal(t, work.New(4711, work.Nested), doc)
	assert.Equal(t, int64(-1), work.ID("user:x"))
}
