package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/cachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheSecondRunSkipsWhatTheFirstHasLoaded(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		run(t.Context(), b.Redis(t).Client, &out)
		first, second, ok := strings.Cut(out.String(), "first run: ")
		assert.True(t, ok, out.String())
		full := "[" + strings.Repeat("#", 40) + "]"
		assert.True(t, strings.HasSuffix(first, full+" 2000 loaded,    0 skipped, 0 failed\n"), out.String())
		assert.Contains(t, first, "]  150 loaded,    0 skipped", "on its way")
		assert.Contains(t, second, full+"    0 loaded, 2000 skipped, 0 failed\nsecond run: 2000 products in 0s\n")
		assert.Contains(t, second, "2000 products in 2s\n", "2,000 at 1,000 a second")
	})
}
