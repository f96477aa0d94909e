package redistest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/redistest"
)

// clients is a test program whose last test leaves a client of a killed server, which dials
// it once a second.
type clients func() int

func (c clients) Run() int { return c() }

func TestMainWaitsForTheDialersOfClosedClients(t *testing.T) {
	server := redistest.Single(t)
	before := goleak.IgnoreCurrent()
	code := redistest.Main(clients(func() int {
		c := server.Process().Client(once)
		server.Kill()
		for range 100 { // it dials by itself after ten failures for each place in its pool
			_ = c.Ping(t.Context()).Err()
		}
		_ = c.Close()
		return 7
	})).Run()
	assert.Equal(t, 7, code)
	assert.NoError(t, goleak.Find(before))
}
