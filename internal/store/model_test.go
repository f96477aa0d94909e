package store_test

import (
	"slices"
	"strings"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

// model is what the scripts are meant to do, on one key, written without any of
// their means. Times are in ms.
type model struct {
	now       int64
	rec       *held
	published int
}

// held is what is under the key: ours if raw is empty and it is no hash, else a
// foreign string or the rest of a record of ours.
type held struct {
	h    envelope.Header
	body string
	open []intent // of an Intent
	raw  string
	hash bool
	exp  int64 // 0: lives on
}

// intent is an open write.
type intent struct {
	token envelope.Token
	until int64
}

// ours reports whether the record begins as one of ours.
func (r *held) ours() bool { return !r.hash && (r.raw == "" || strings.HasPrefix(r.raw, "K1")) }

// whole reports whether all of the header is there.
func (r *held) whole() bool { return r.ours() && r.raw == "" }

func (r *held) dirty() bool { return r.is(envelope.Dirty) }

// is reports whether the record is whole and of one of the kinds.
func (r *held) is(kinds ...envelope.Kind) bool { return r.whole() && slices.Contains(kinds, r.h.Kind) }

// text is the record as Redis holds it.
func (r *held) text() string {
	if r.raw != "" {
		return r.raw
	}
	body := r.body
	for _, i := range r.open {
		body += string(envelope.AppendIntent(nil, i.token, i.until))
	}
	return record(r.h, body)
}

// tick moves the clock and drops what has expired.
func (m *model) tick(d time.Duration) {
	m.now += d.Milliseconds()
	if m.rec != nil && m.rec.exp != 0 && m.now >= m.rec.exp {
		m.rec = nil
	}
}

func (m *model) in(d time.Duration) int64 { return m.now + d.Milliseconds() }

func (m *model) put(h envelope.Header, body string, ttl time.Duration) {
	m.rec = &held{h: h, body: body, exp: m.in(ttl)}
}

// even is a soft deadline that is not Expire's.
func even(ms int64) int64 {
	ms = max(ms, 2)
	return ms - ms%2
}

// value is the header of an entry that is fresh for soft from now on.
func (m *model) value(soft time.Duration, cid envelope.Token, version uint64) envelope.Header {
	return envelope.Header{
		Kind: envelope.Value, Fresh: even(m.in(soft)), Token: envelope.NoToken, CID: cid, Version: version,
	}
}

func (m *model) publish(n store.Notice) {
	if n.Channel != "" {
		m.published++
	}
}

// left is what the record's deadline has left, zero or less if it has none.
func (m *model) left() time.Duration {
	return time.Duration(m.rec.h.Until-m.now) * time.Millisecond
}

func (m *model) acquire(a store.Acquire) store.Grant {
	g := store.Grant{Now: m.now}
	r := m.rec
	switch {
	case r == nil:
		return m.lease(g, a)
	case !r.ours():
		g.Answer = store.Foreign
		return g
	case r.dirty():
		return m.hand(g, r)
	case !r.whole():
		return m.lease(g, a)
	}
	busy := r.h.Until > m.now && r.h.Token != a.Token
	if r.is(envelope.Value) {
		if r.h.CID != a.Seen {
			return m.hand(g, r)
		}
		if busy {
			g.Answer, g.Left = store.Busy, m.left()
			if r.h.Token == envelope.NoToken {
				g.Answer = store.BackingOff
			}
			return g
		}
		if a.Invalid {
			return m.lease(g, a)
		}
		r.h.Until, r.h.Token = m.in(a.Lease), a.Token
		g.Answer = store.GrantedOver
		return g
	}
	if !busy {
		return m.lease(g, a)
	}
	g.Left = m.left()
	g.Answer = map[envelope.Kind]store.Answer{
		envelope.Lease: store.Busy, envelope.Intent: store.Writing, envelope.Backoff: store.BackingOff,
	}[r.h.Kind]
	return g
}

func (m *model) lease(g store.Grant, a store.Acquire) store.Grant {
	m.put(envelope.Header{Kind: envelope.Lease, Until: m.in(a.Lease), Token: a.Token, CID: envelope.NoToken}, "", a.Retain)
	g.Answer = store.Granted
	return g
}

func (m *model) hand(g store.Grant, r *held) store.Grant {
	g.Answer = store.Held
	g.Record = store.Record{Data: []byte(r.text()), PTTL: -1}
	if !r.dirty() && r.exp != 0 {
		g.Record.PTTL = time.Duration(r.exp-m.now) * time.Millisecond
	}
	return g
}

// leased reports whether t holds the lease.
func (m *model) leased(t envelope.Token) bool {
	return m.rec != nil && m.rec.is(envelope.Lease, envelope.Value) && m.rec.h.Token == t
}

func (m *model) commit(c store.Commit) store.Verdict {
	if !m.leased(c.Token) {
		return store.Refused
	}
	over := m.rec.h.Kind != envelope.Lease
	switch {
	case c.TTL < time.Millisecond:
		m.rec = nil
	case over && !c.Absent && m.rec.h.Fresh > m.now && m.rec.h.Version > c.Version:
		m.rec.h.Until, m.rec.h.Token = 0, envelope.NoToken
		return store.Older
	default:
		m.put(m.value(c.Soft, c.Token, c.Version), bodyIn(c.Record), c.TTL)
	}
	if over {
		m.publish(c.Notice)
	}
	return store.Committed
}

func (m *model) renew(t envelope.Token, lease, retain time.Duration) bool {
	if !m.leased(t) {
		return false
	}
	m.rec.h.Until = m.in(lease)
	if m.rec.is(envelope.Lease) {
		m.rec.exp = m.in(retain)
	}
	return true
}

func (m *model) release(t envelope.Token, backoff time.Duration) bool {
	if !m.leased(t) {
		return false
	}
	until := int64(0)
	if backoff > 0 {
		until = m.in(backoff)
	}
	switch {
	case !m.rec.is(envelope.Lease):
		m.rec.h.Until, m.rec.h.Token = until, envelope.NoToken
	case until == 0:
		m.rec = nil
	default:
		m.put(envelope.Header{Kind: envelope.Backoff, Until: until, Token: envelope.NoToken, CID: envelope.NoToken}, "", backoff)
	}
	return true
}

func (m *model) slide(cid envelope.Token, soft, ttl time.Duration, latest int64) bool {
	if m.rec == nil || !m.rec.is(envelope.Value) || m.rec.h.CID != cid || m.rec.h.Fresh != 0 && m.rec.h.Fresh <= m.now {
		return false
	}
	exp, fresh := m.in(ttl), m.in(soft)
	if latest != 0 && exp > latest {
		exp, fresh = latest, fresh-(exp-latest)
	}
	if exp <= m.now {
		return false
	}
	m.rec.exp, m.rec.h.Fresh = exp, even(fresh)
	return true
}

// writing reports whether there is an intent that has not run out.
func (m *model) writing() bool {
	return m.rec != nil && m.rec.is(envelope.Intent) && m.rec.h.Until > m.now
}
