package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// stage stands in for a test where there is none, so that the program starts
// its servers with the functions, and in the shape, that the tests use. It has
// the methods of testing.TB that internal/redistest calls; the others are those
// of a nil TB.
type stage struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	err      error
}

// perform runs f on a stage and returns what it failed with. As in a test,
// Fatal ends f, and what was started is ended in any case.
func perform(ctx context.Context, f func(t testing.TB) error) error {
	s := &stage{ctx: ctx}
	done := make(chan struct{})
	go func() { // of its own, since Fatal ends it
		defer close(done)
		defer func() {
			for i := len(s.cleanups) - 1; i >= 0; i-- {
				s.cleanups[i]()
			}
		}()
		s.note(f(s))
	}()
	<-done
	return s.err
}

func (s *stage) note(err error) { s.err = errors.Join(s.err, err) }

func (s *stage) Helper() {}

func (s *stage) Context() context.Context { return s.ctx }

func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "stress")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.note(os.RemoveAll(dir)) })
	return dir
}

func (s *stage) Error(args ...any) { s.note(errors.New(fmt.Sprint(args...))) }

func (s *stage) Fatal(args ...any) {
	s.Error(args...)
	runtime.Goexit()
}

func (s *stage) Fatalf(format string, args ...any) { s.Fatal(fmt.Sprintf(format, args...)) }

// Skip fails: a stress run without a server has shown nothing.
func (s *stage) Skip(args ...any) { s.Fatal(args...) }
