package cachetest_test

import (
	"context"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// quiet drops what go-redis logs about servers that these tests stop.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	goleak.VerifyTestMain(m)
}

// exampleTB is what an example has in place of a test.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTB) Helper()          {}
func (t *exampleTB) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// run runs a test in an example.
func run(test func(t testing.TB)) {
	t := &exampleTB{}
	test(t)
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
