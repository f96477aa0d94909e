//go:build !race

package envelope_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/envelope"
)

// The race detector's build of crypto/rand moves its argument to the heap, so
// what follows holds, and is tested, without it.

func TestTokensAllocateNothing(t *testing.T) {
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		tok := envelope.NewToken()
		parsed, ok := envelope.ParseToken(dashes)
		if !ok || tok == parsed || !tok.Local() {
			t.Error(tok)
		}
	}))
	tok := envelope.NewToken()
	assert.Equal(t, 1.0, testing.AllocsPerRun(100, func() { sinkString = tok.String() }))
}

var sinkString string
