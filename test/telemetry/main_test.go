package telemetry_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

func TestMain(m *testing.M) {
	testkit.AtOnce(8)
	goleak.VerifyTestMain(redistest.Main(m))
}
