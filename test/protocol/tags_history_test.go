package protocol_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// Scenario 2, with tags in place of keys.
func TestTagHistory(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	testkit.TaggedHistory(t, func() redis.UniversalClient { return server.Client(t) }, testkit.Span(10*time.Second, time.Second))
}
