package cache_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(redistest.Main(m)) }
