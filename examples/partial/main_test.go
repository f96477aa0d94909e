package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/cachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachFieldIsAskedForWhenItsTimeIsOver(t *testing.T) {
	b := cachetest.NewBubble(t)
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		run(t.Context(), b.Redis(t).Client, &out, time.Sleep)
		t.Logf("\n%s", out.String())
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		want := []string{
			"lamp 1: 1000 cents, 20 in stock; queries: details 1, prices 1, stock 1",
			"lamp 1: 1000 cents, 20 in stock; queries: details 0, prices 0, stock 0",
			"lamp 1: 1000 cents, 20 in stock; queries: details 0, prices 0, stock 1",
			"lamp 1: 1000 cents, 20 in stock; queries: details 0, prices 1, stock 1",
			"lamp 1: 1100 cents, 20 in stock; queries: details 0, prices 0, stock 0",
		}
		if assert.Len(t, lines, len(want)) {
			for i := range want {
				assert.Equal(t, want[i], strings.TrimSpace(lines[i][65:]))
			}
		}
	})
}
