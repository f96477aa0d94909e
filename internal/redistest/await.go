package redistest

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	settleTimeout = 90 * time.Second
	settlePoll    = 20 * time.Millisecond
	adminTimeout  = time.Second
)

// await polls until check returns nil. If it does not in time the test ends with
// what was awaited and check's last error.
func await(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(settleTimeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("redistest: %s: %v", what, err)
		}
		time.Sleep(settlePoll)
	}
}

// admin sets the options of a client that gives orders to one server: a server
// that is down or paused must not take long to find out about.
func admin(o *redis.Options) {
	setup(o)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = adminTimeout, adminTimeout, adminTimeout
}

// setup is admin for servers that are known to run: a busy machine may keep them
// from answering for a while, and most orders cannot be given twice.
func setup(o *redis.Options) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = settleTimeout, settleTimeout, settleTimeout
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.Protocol = 2 // the same replies everywhere
}
