package behind

import (
	"context"
	"sync"
)

// gate counts the puts under way and can be closed, so that a flush after that
// knows of all of them. The zero value is open.
type gate struct {
	mu     sync.Mutex // protects what follows
	inside int
	closed chan struct{} // made by the first who needs it, closed by shut
	shutUp bool
	idle   chan struct{} // closed with the last put after shut; nil before
}

// enter counts a put, and reports false if the gate is closed.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutUp {
		return false
	}
	g.inside++
	return true
}

// leave is the last thing a put does that was let in.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// closing is closed when nobody is let in any more.
func (g *gate) closing() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closingLocked()
}

func (g *gate) closingLocked() chan struct{} {
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
	return g.closed
}

// shut lets nobody in any more and tells those who wait inside. A second call
// does nothing.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shutUp {
		return
	}
	g.shutUp = true
	close(g.closingLocked())
}

// close shuts the gate and waits until all have left, or ctx ends; then it
// returns ctx's error, and the gate stays shut.
func (g *gate) close(ctx context.Context) error {
	g.shut()
	g.mu.Lock()
	if g.inside > 0 && g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
