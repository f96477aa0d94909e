package outage_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// What measures runs first, one test after the other; the rest waits for workers, and
// does so beside each other.
func TestMain(m *testing.M) {
	testkit.AtOnce(8)
	goleak.VerifyTestMain(redistest.Main(m))
}
