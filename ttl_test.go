package cache_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/expiry"
)

func TestTTLDefaultIsTheDocumentedClass(t *testing.T) {
	assert.Equal(t, &cache.TTL{Name: "default", Fresh: 5 * time.Minute, Jitter: 0.1}, cache.DefaultTTL)
	assert.NoError(t, (*expiry.Policy)(cache.DefaultTTL).Validate())
}
