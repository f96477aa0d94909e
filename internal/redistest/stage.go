package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// Stage stands in for a test where there is none: for programs, and for servers that
// several tests share. It has the methods of testing.TB that this package calls; the
// others are those of a nil TB. Make it with [NewStage]; it is not for concurrent use.
type Stage struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	err      error
}

// NewStage returns a stage whose Context is ctx. What is started on it lives until
// [Stage.End].
func NewStage(ctx context.Context) *Stage { return &Stage{ctx: ctx} }

// Run calls f and returns what it has failed with: its error, and all that Error and
// Fatal were called with. As in a test Fatal ends f.
func (s *Stage) Run(f func(t testing.TB) error) error {
	s.err = nil
	done := make(chan struct{})
	go func() { // of its own, since Fatal ends it
		defer close(done)
		s.note(f(s))
	}()
	<-done
	return s.err
}

// End ends what was started, the last first, all of it whatever fails, and returns
// what has failed.
func (s *Stage) End() (err error) {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		err = errors.Join(err, s.Run(func(testing.TB) error { f(); return nil }))
	}
	return err
}

func (s *Stage) note(err error) { s.err = errors.Join(s.err, err) }

// Helper does nothing.
func (s *Stage) Helper() {}

// Context is the one that the stage was made with.
func (s *Stage) Context() context.Context { return s.ctx }

// Cleanup has f called by End.
func (s *Stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// TempDir makes a directory that End removes.
func (s *Stage) TempDir() string {
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.note(os.RemoveAll(dir)) })
	return dir
}

// Error notes a failure.
func (s *Stage) Error(args ...any) { s.note(errors.New(fmt.Sprint(args...))) }

// Fatal notes a failure and ends what Run has called.
func (s *Stage) Fatal(args ...any) {
	s.Error(args...)
	runtime.Goexit()
}

// Fatalf is Fatal with a format.
func (s *Stage) Fatalf(format string, args ...any) { s.Fatal(fmt.Sprintf(format, args...)) }

// Skip fails: a program without a server has shown nothing.
func (s *Stage) Skip(args ...any) { s.Fatal(args...) }
