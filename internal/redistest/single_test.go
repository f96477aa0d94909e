package redistest_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/redistest"
)

// patience bounds what must happen at all.
const (
	patience = time.Minute
	tick     = 2 * time.Millisecond
)

// brief is how long to wait for what must not come.
const brief = 150 * time.Millisecond

// once makes a client that tries once, and gives up only with a command's context.
func once(o *redis.Options) {
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DialTimeout = patience
	o.ReadTimeout = patience
	o.ContextTimeoutEnabled = true
}

// briefly is the context of a command that gets no answer.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), brief)
	t.Cleanup(cancel)
	return ctx
}

// assertGone checks that there is no process pid.
func assertGone(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	require.NoError(t, err)
	assert.ErrorIs(t, p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

func TestSingleAnswersAndKeepsNothingOnDisk(t *testing.T) {
	s := redistest.Single(t)
	c := s.Client(t)
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	s.Restart()
	assert.ErrorIs(t, c.Get(t.Context(), "k").Err(), redis.Nil)
	files, err := filepath.Glob(filepath.Join(s.Process().Dir(), "*.rdb"))
	require.NoError(t, err)
	assert.Empty(t, files)
}

func TestAppendOnlySurvivesKillAndRestart(t *testing.T) {
	s := redistest.Single(t, redistest.AppendOnly("always"))
	c, before := s.Client(t), s.Addr()
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	pid := s.Pid()
	s.Kill()
	assert.Zero(t, s.Pid())
	assertGone(t, pid)
	assert.Error(t, s.Client(t, once).Ping(t.Context()).Err())
	s.Restart()
	assert.Equal(t, before, s.Addr())
	assert.NotEqual(t, pid, s.Pid())
	assert.Equal(t, "v", c.Get(t.Context(), "k").Val())
}

func TestOptionsReachTheServer(t *testing.T) {
	s := redistest.Single(t,
		redistest.MaxMemory(4<<20, "allkeys-random"),
		redistest.Config("hz", "50"),
		redistest.Config("client-output-buffer-limit", "pubsub 1mb 1mb 1"),
	)
	c := s.Client(t)
	for key, want := range map[string]string{
		"maxmemory": "4194304", "maxmemory-policy": "allkeys-random", "hz": "50", "save": "",
	} {
		got, err := c.ConfigGet(t.Context(), key).Result()
		require.NoError(t, err)
		assert.Equal(t, want, got[key], key)
	}
}

func TestPausedServerAcceptsAndDoesNotAnswer(t *testing.T) {
	s := redistest.Single(t)
	c := s.Client(t, once)
	require.NoError(t, c.Ping(t.Context()).Err())
	s.Pause()
	begin := time.Now()
	assert.Error(t, c.Ping(briefly(t)).Err())
	assert.GreaterOrEqual(t, time.Since(begin), brief)
	s.Resume()
	assert.NoError(t, s.Client(t).Ping(t.Context()).Err())
}

func TestPausedServerIsKilledWithItsTest(t *testing.T) {
	redistest.Require(t)
	var pid int
	t.Run("inner", func(t *testing.T) {
		s := redistest.Single(t)
		pid = s.Pid()
		s.Pause()
	})
	require.NotZero(t, pid)
	assertGone(t, pid)
}

func TestServersOfOneTestDoNotMeet(t *testing.T) {
	a, b := redistest.Single(t), redistest.Single(t)
	require.NoError(t, a.Client(t).Set(t.Context(), "k", "a", 0).Err())
	assert.ErrorIs(t, b.Client(t).Get(t.Context(), "k").Err(), redis.Nil)
}

func TestFailedStartShowsTheLog(t *testing.T) {
	redistest.Require(t)
	_, err := redistest.Start(t.Context(), t.TempDir(), redistest.Config("no-such-directive", "1"))
	require.Error(t, err)
	assert.ErrorContains(t, err, "no-such-directive")
}

func TestStartEndsWithItsContext(t *testing.T) {
	redistest.Require(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := redistest.Start(ctx, t.TempDir(), redistest.Config("port", "0"))
	assert.ErrorIs(t, err, context.Canceled)
}

func TestStoppedProcessStaysStopped(t *testing.T) {
	redistest.Require(t)
	p, err := redistest.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.NoError(t, p.Stop())
	require.NoError(t, p.Stop())
	assert.Error(t, p.Restart(t.Context()))
	assert.Error(t, p.Pause())
}

func TestMisspelledServerPathIsNotAMissingServer(t *testing.T) {
	t.Setenv("CACHE_REDIS_SERVER", filepath.Join(t.TempDir(), "absent"))
	_, err := redistest.Binary()
	require.Error(t, err)
	assert.NotErrorIs(t, err, redistest.ErrNoServer)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestNoServerOnThePath(t *testing.T) {
	t.Setenv("CACHE_REDIS_SERVER", "")
	t.Setenv("PATH", t.TempDir())
	_, err := redistest.Start(t.Context(), t.TempDir())
	assert.ErrorIs(t, err, redistest.ErrNoServer)
}
