package redistest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/redistest"
)

func TestStageEndsWhatItStartedWhateverHappens(t *testing.T) {
	var ended []string
	dir := ""
	s := redistest.NewStage(context.Background())
	err := s.Run(func(tb testing.TB) error {
		tb.Cleanup(func() { ended = append(ended, "first") })
		dir = tb.TempDir()
		tb.Cleanup(func() {
			ended = append(ended, "second")
			tb.Fatal("nor does it end")
		})
		tb.Fatalf("no %s", "server")
		return errors.New("not reached")
	})
	assert.EqualError(t, err, "no server")
	assert.DirExists(t, dir)
	assert.EqualError(t, s.End(), "nor does it end")
	assert.Equal(t, []string{"second", "first"}, ended)
	assert.NoDirExists(t, dir)
	assert.NoError(t, s.End())
}
