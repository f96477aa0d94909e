package bus

import (
	"context"
	"strconv"
	"time"
)

// ping is the pinger: everything that is written to the connection after the
// first SUBSCRIBE is written here, at each interval and when woken.
func (s *session) ping(ctx context.Context) {
	ticker := time.NewTicker(s.bus.o.Ping)
	defer ticker.Stop()
	for {
		woken := false
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.link.woken:
			woken = true
		}
		err := s.subscribe(ctx)
		if err == nil {
			err = s.probe(ctx, woken)
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// probe sends a PING, unless one is under way: then another follows it if that is
// urgent.
func (s *session) probe(ctx context.Context, urgent bool) error {
	b := s.bus
	b.mu.Lock()
	if s.asked != 0 || s.link.at != s {
		s.again = s.again || urgent
		b.mu.Unlock()
		return nil
	}
	b.seq++
	s.asked, s.at = b.seq, b.o.Now()
	payload := strconv.FormatUint(s.asked, 10)
	s.silent.Reset(b.o.Silence - b.o.Ping) // the one before was sent a Ping ago
	b.mu.Unlock()
	return s.conn.Ping(ctx, payload)
}

// subscribe lets the connection hear what is wanted, and nothing else.
func (s *session) subscribe(ctx context.Context) error {
	more, less := s.difference()
	if len(less) > 0 {
		if err := s.conn.Unsubscribe(ctx, less...); err != nil {
			return err
		}
	}
	if len(more) > 0 {
		return s.conn.Subscribe(ctx, more...)
	}
	return nil
}

// difference returns the channels to subscribe to and those to leave, and notes
// them as done.
func (s *session) difference() (more, less []string) {
	b := s.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	for channel := range b.channels {
		known := s.subs[channel]
		if known == nil {
			known = &sub{}
			s.subs[channel] = known
		}
		if !known.wanted {
			known.wanted = true
			known.asked++
			more = append(more, channel)
		}
	}
	for channel, known := range s.subs {
		if _, wanted := b.channels[channel]; known.wanted && !wanted {
			known.wanted, known.proven, known.since = false, false, 0
			less = append(less, channel)
		}
	}
	return more, less
}
