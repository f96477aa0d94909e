// Package redistest starts real Redis servers for tests, and a TCP proxy that
// counts and breaks what goes through it.
//
// Servers are processes of this machine on free loopback ports: [Single] starts
// one, [StartCluster] three primaries with a replica each, [StartSentinel] a
// primary with a replica and three sentinels. Everything they write is in the
// test's temporary directory, and every process is killed when the test ends,
// also one that was stopped. Only the redis-server program is needed.
//
// A cluster or sentinels take seconds to start. The tests of a package share one of
// each by [SharedCluster] and [SharedSentinel], which lend them to one test after the
// other, mended and emptied in between; [Main] in TestMain ends them.
//
// The program is the one named by CACHE_REDIS_SERVER, otherwise redis-server on
// the PATH. Without one the test is skipped; with CACHE_REQUIRE_REDIS=1 it fails
// instead.
//
// The functions that take a testing.TB end the test on failure and must be
// called from its goroutine. Programs without a test use a [Stage], or [Start] and
// [ListenProxy], which return errors.
package redistest
