package behind

import "sync"

// gate counts the puts under way and can be shut, so that a flush after that knows of all
// of them.
type gate struct {
	mu     sync.RWMutex // held for reading by who enters
	inside sync.WaitGroup
	shutUp chan struct{} // closed when nobody is let in any more
}

func newGate() *gate { return &gate{shutUp: make(chan struct{})} }

// enter counts a put, and reports false if the gate is shut. Who was let in calls
// inside.Done when he leaves.
func (g *gate) enter() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.isShut() {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) isShut() bool {
	select {
	case <-g.shutUp:
		return true
	default:
		return false
	}
}

// shut lets nobody in any more and tells those who wait inside. A second call does nothing.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isShut() {
		close(g.shutUp)
	}
}
