package outage_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache"
)

// dirtyLeft asserts that err is a *RemainingError with so many dirty keys.
func dirtyLeft(t testing.TB, err error, dirty int) {
	t.Helper()
	var left *cache.RemainingError
	if assert.ErrorAs(t, err, &left) {
		assert.Equal(t, cache.RemainingError{Dirty: dirty}, *left)
	}
}
