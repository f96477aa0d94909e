package conn_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/redistest"
)

func TestMain(m *testing.M) {
	// Most tests that are Parallel wait for servers: on two cores, four of them at a time.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(redistest.Main(m))
}
