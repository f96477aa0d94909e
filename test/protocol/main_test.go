package protocol_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/redistest"
)

// atOnce is how many tests run at once, if the command line does not say. Most of them
// wait: for a lease, for a message, for a loader that is held.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(atOnce)
	}
	goleak.VerifyTestMain(redistest.Main(m))
}
