package near_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/near"
)

// hour is a deadline that no test reaches.
func hour() int64 { return mono.Now() + int64(time.Hour) }

// open returns a memory with room for everything, and a space that serves.
func open(tb testing.TB) (*near.Memory, *near.Space) {
	tb.Helper()
	m := near.New(near.Options{MaxBytes: 1 << 30})
	tb.Cleanup(m.Close)
	return m, serving(m)
}

func serving(m *near.Memory) *near.Space {
	s := m.Space()
	s.Restore()
	return s
}

// put stores a value as a fill does that nothing interferes with.
func put(s *near.Space, name string, value any) bool {
	return s.Put(name, &near.Entry{Value: value, Deadline: hour()}, s.Epoch(name))
}

// get returns the value that is fresh, nil if there is none.
func get(s *near.Space, name string) any {
	if e, _ := s.Get(name); e != nil {
		return e.Value
	}
	return nil
}

// suspected returns the value that is suspect, nil if there is none.
func suspected(s *near.Space, name string) any {
	if e, _ := s.GetSuspect(name); e != nil {
		return e.Value
	}
	return nil
}

// hands is a clock that stands still until it is moved.
type hands struct{ at atomic.Int64 }

func newHands() *hands {
	h := &hands{}
	h.at.Store(1)
	return h
}

func (h *hands) now() int64           { return h.at.Load() }
func (h *hands) move(d time.Duration) { h.at.Add(int64(d)) }
