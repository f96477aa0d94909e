package bus

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	errSilent  = errors.New("a PING was not answered in time")
	errRenewed = errors.New("the client has replaced the connection")
	errOver    = errors.New("the connection was given up")
)

// session is the life of one connection. What it has heard counts for this
// connection only.
type session struct {
	link   *link
	bus    *Bus
	conn   Conn
	cancel context.CancelFunc
	silent *time.Timer // runs while a PING is under way
	wg     sync.WaitGroup

	// Guarded by bus.mu. A session is over when it is not link.at any more;
	// nothing that it hears counts from then on.
	subs   map[string]*sub
	asked  uint64 // the PING that is under way, 0 if none
	at     int64  // when it was sent
	again  bool   // another one is wanted as soon as it is answered
	proved bool   // a PING was answered
}

// sub is what the connection knows of a channel.
type sub struct {
	wanted bool
	asked  int    // SUBSCRIBEs sent
	heard  int    // of these confirmed
	since  uint64 // the first PING sent after the latest one was confirmed, 0 if it is not
	proven bool   // that PING or a later one was answered
}

func newSession(l *link) *session {
	return &session{link: l, bus: l.bus, conn: l.connect(), subs: map[string]*sub{}}
}

// hears reports whether the channel's subscription is proven. bus.mu is held.
func (s *session) hears(channel string) bool {
	sub := s.subs[channel]
	return sub != nil && sub.proven
}

// run connects, and receives until the connection fails or ctx ends.
func (s *session) run(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.silent = time.AfterFunc(time.Hour, func() { s.end(errSilent) })
	s.silent.Stop()
	s.bus.mu.Lock()
	s.link.at = s
	s.bus.mu.Unlock()
	s.wg.Go(func() { // the closer: a read ends when its connection is closed, not with ctx
		<-ctx.Done()
		_ = s.conn.Close()
	})
	err := s.subscribe(ctx)
	if err == nil {
		s.wg.Go(func() { s.ping(ctx) })
		err = s.receive(ctx)
	}
	s.end(err)
	s.silent.Stop()
	s.wg.Wait()
}

// end ends the session, once, and tells the listeners before anything else. It
// takes no lock of the connection: go-redis holds those while it dials.
func (s *session) end(why error) {
	b := s.bus
	b.mu.Lock()
	if s.link.at == s {
		s.link.at, b.deaf = nil, why
		b.lostLocked()
	}
	b.mu.Unlock()
	s.cancel()
}

// receive takes what comes until the connection fails. While PINGs are answered
// no read takes as long as Silence, so a read that does is an error too; to go on
// after a timeout could also mean to go on in the middle of a message.
func (s *session) receive(ctx context.Context) error {
	for {
		msg, err := s.conn.ReceiveTimeout(ctx, s.bus.o.Silence)
		if err != nil {
			return err
		}
		if err := s.take(msg); err != nil {
			return err
		}
	}
}

func (s *session) take(msg any) error {
	b := s.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.link.at != s {
		return errOver
	}
	return s.takeLocked(msg)
}

func (s *session) takeLocked(msg any) error {
	switch m := msg.(type) {
	case *redis.Message:
		s.bus.deliverLocked(m.Channel, m.Payload)
	case *redis.Subscription:
		if m.Kind == "subscribe" {
			return s.confirmLocked(m.Channel)
		}
	case *redis.Pong:
		return s.pongLocked(m.Payload)
	}
	return nil
}

// confirmLocked notes that the server confirmed a subscription. One that was not
// asked for shows that go-redis has made another connection, without an error: as
// it does when a hosted server moves its clients.
func (s *session) confirmLocked(channel string) error {
	sub := s.subs[channel]
	if sub == nil || sub.heard == sub.asked {
		return errRenewed
	}
	sub.heard++
	if sub.heard == sub.asked && sub.wanted {
		sub.since = s.bus.seq + 1
		s.link.wake()
	}
	return nil
}

// pongLocked notes the answer to the PING that is under way. Any other answer is
// none: it came from another connection, or from the middle of something.
func (s *session) pongLocked(payload string) error {
	if s.asked == 0 || payload != strconv.FormatUint(s.asked, 10) {
		return errRenewed
	}
	s.silent.Stop()
	for _, sub := range s.subs {
		sub.proven = sub.proven || sub.since != 0 && sub.since <= s.asked
	}
	s.link.proven, s.proved, s.asked = s.at, true, 0
	if s.again {
		s.again = false
		s.link.wake()
	}
	s.bus.proveLocked()
	s.bus.backLocked()
	return nil
}
