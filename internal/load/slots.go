package load

import (
	"sync"
	"time"

	"github.com/larder-go/cache/internal/holdoff"
	"github.com/larder-go/cache/internal/mono"
)

// Slots bound how much work in the background runs at once, and remember which keys
// are to be left alone for a while. Make them with [NewSlots].
type Slots struct {
	limit int

	mu      sync.Mutex // protects following
	running int
	heldOff *holdoff.Table // by mono.Now
}

// NewSlots returns as many slots as limit.
func NewSlots(limit int) *Slots { return &Slots{limit: limit, heldOff: holdoff.New()} }

// Begin takes a slot for key, which End gives back. It reports false if there is none,
// or if the key is held off.
func (s *Slots) Begin(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.readyLocked(key) {
		return false
	}
	s.heldOff.Drop(key)
	s.running++
	return true
}

// Ready reports whether Begin would take a slot now.
func (s *Slots) Ready(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readyLocked(key)
}

func (s *Slots) readyLocked(key string) bool {
	return s.running < s.limit && mono.Now() >= s.heldOff.Until(key)
}

// End gives a slot back.
func (s *Slots) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// HoldOff leaves key alone for d from now on.
func (s *Slots) HoldOff(key string, d time.Duration) {
	until := mono.Now() + int64(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldOff.Set(key, until)
}
