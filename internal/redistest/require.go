package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

const (
	serverEnv  = "CACHE_REDIS_SERVER"
	requireEnv = "CACHE_REQUIRE_REDIS"
)

// ErrNoServer says that this machine has no redis-server program.
var ErrNoServer = errors.New("redistest: no redis-server")

// Binary returns the path of the redis-server program: the one that
// CACHE_REDIS_SERVER names, otherwise the one on the PATH. The error is
// [ErrNoServer] if the variable is empty and the PATH has none; a variable that
// names no program is another error, because a typing error must not pass for a
// machine without Redis.
func Binary() (string, error) {
	if named := os.Getenv(serverEnv); named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("redistest: %s: %w", serverEnv, err)
		}
		return path, nil
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", ErrNoServer
	}
	return path, nil
}

// Require returns the path of the redis-server program. Without one it skips the
// test, or fails it if CACHE_REQUIRE_REDIS is 1.
func Require(t testing.TB) string {
	t.Helper()
	path, err := Binary()
	switch {
	case err == nil:
		return path
	case !errors.Is(err, ErrNoServer):
		t.Fatal(err)
	case os.Getenv(requireEnv) == "1":
		t.Fatal("needs redis-server: install it or set CACHE_REDIS_SERVER (CACHE_REQUIRE_REDIS=1 forbids to skip)")
	default:
		t.Skip("needs redis-server: install it or set CACHE_REDIS_SERVER; CACHE_REQUIRE_REDIS=1 turns this skip into a failure")
	}
	return ""
}
