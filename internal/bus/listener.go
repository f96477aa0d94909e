package bus

import "sync/atomic"

// Listener hears one channel. Calls come one at a time, in the order in which
// things happened, and hold up everything else that the bus does: they must be
// quick, and must not call the bus. A listener begins as lost.
type Listener interface {
	// Message is called with each message, also while lost: it may be true that
	// it is not the only one.
	Message(payload string)
	// Lost is called when messages may be missing from now on.
	Lost()
	// Back is called when none will be missing from now on; what was published
	// before may have been missed.
	Back()
}

// Membership is a listener's place on a channel.
type Membership struct {
	bus      *Bus
	channel  string
	listener Listener
	up       atomic.Bool // written under bus.mu
}

// Join adds a listener to a channel. It does not wait: Back follows when the
// subscription is proven, even if others listen to the channel already.
func (b *Bus) Join(channel string, l Listener) *Membership {
	m := &Membership{bus: b, channel: channel, listener: l}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return m
	}
	members := b.channels[channel]
	if members == nil {
		members = map[*Membership]struct{}{}
		b.channels[channel] = members
	}
	members[m] = struct{}{}
	b.wakeLocked()
	return m
}

// Leave ends the membership: once it has returned the listener is not called any
// more. A second call does nothing.
func (m *Membership) Leave() {
	b := m.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	m.up.Store(false)
	members := b.channels[m.channel]
	delete(members, m)
	if len(members) == 0 {
		delete(b.channels, m.channel)
	}
	b.wakeLocked()
}

// Up reports whether the channel is heard: between Back and Lost. It costs one
// atomic load, and says nothing about a link that became a black hole a moment
// ago; see [Bus.Proven].
func (m *Membership) Up() bool { return m.up.Load() }

// wakeLocked lets all links see which channels are wanted.
func (b *Bus) wakeLocked() {
	for _, l := range b.links {
		l.wake()
	}
}

// deliverLocked calls the channel's listeners.
func (b *Bus) deliverLocked(channel, payload string) {
	for m := range b.channels[channel] {
		m.listener.Message(payload)
	}
}

// lostLocked tells everybody who does not know.
func (b *Bus) lostLocked() {
	for _, members := range b.channels {
		for m := range members {
			if m.up.Swap(false) {
				m.listener.Lost()
			}
		}
	}
}

// backLocked tells those whose channel every link hears by now.
func (b *Bus) backLocked() {
	for channel, members := range b.channels {
		if !b.heardLocked(channel) {
			continue
		}
		b.deaf = nil
		for m := range members {
			if !m.up.Swap(true) {
				m.listener.Back()
			}
		}
	}
}

// heardLocked reports whether every link has proven that it hears the channel.
func (b *Bus) heardLocked(channel string) bool {
	for _, l := range b.links {
		if l.at == nil || !l.at.hears(channel) {
			return false
		}
	}
	return len(b.links) > 0
}

// proveLocked sets Proven to the oldest proof of the links.
func (b *Bus) proveLocked() {
	oldest := int64(0)
	for i, l := range b.links {
		if i == 0 || l.proven < oldest {
			oldest = l.proven
		}
	}
	b.proven.Store(oldest)
}
