package store_test

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

func (m *model) store(e store.Entry) {
	m.put(m.value(e.Soft, e.CID, e.Version), bodyIn(e.Record), e.TTL)
	m.publish(e.Notice)
}

func (m *model) set(e store.Entry) store.SetAnswer {
	switch r := m.rec; {
	case r == nil:
	case !r.ours():
		return store.SetForeign
	case r.dirty():
		return store.SetDirty
	case m.writing():
		r.h.Conflict = true
		m.publish(e.Notice)
		return store.SetWriting
	case r.is(envelope.Value) && e.Version != 0 && r.h.Version > e.Version:
		return store.SetOlder
	}
	m.store(e)
	return store.SetStored
}

func (m *model) invalidate(n store.Notice) store.ChangeAnswer {
	answer := store.ChangeNothing
	switch r := m.rec; {
	case r == nil, r.hash:
	case r.dirty():
		return store.ChangeDirty
	case m.writing():
		r.h.Conflict = true
		answer = store.ChangeWriting
	default:
		m.rec = nil
		answer = store.ChangeMade
	}
	m.publish(n)
	return answer
}

func (m *model) expire(stale time.Duration, n store.Notice) store.ChangeAnswer {
	r := m.rec
	answer := store.ChangeNothing
	switch {
	case r == nil:
	case !r.ours():
		return store.ChangeForeign
	case r.dirty():
		return store.ChangeNothing
	case r.is(envelope.Value):
		r.h.Until, r.h.Token = 0, envelope.NoToken
		if r.h.Fresh == 0 || r.h.Fresh > m.now {
			r.h.Fresh = m.now
		}
		r.h.Fresh += r.h.Fresh%2 - 1 // odd
		if r.exp == 0 || r.exp > m.in(stale) {
			r.exp = m.in(stale)
		}
		answer = store.ChangeMade
	case r.is(envelope.Intent):
		r.h.Conflict = true
		answer = store.ChangeWriting
	default:
		m.rec = nil
	}
	m.publish(n)
	return answer
}

func (m *model) wbegin(t envelope.Token, d time.Duration, n store.Notice) int {
	if r := m.rec; r != nil && !r.ours() {
		return store.IntentForeign
	} else if r != nil && r.dirty() {
		return store.IntentDirty
	}
	defer m.publish(n)
	var open []intent
	if m.rec != nil && m.rec.is(envelope.Intent) {
		open = slices.DeleteFunc(slices.Clone(m.rec.open), func(i intent) bool { return i.until <= m.now })
	}
	if slices.ContainsFunc(open, func(i intent) bool { return i.token == t }) {
		return len(open)
	}
	next := &held{h: envelope.Header{Kind: envelope.Intent, Conflict: len(open) > 0}}
	m.rec = m.opened(next, append(open, intent{t, m.in(d)}))
	return len(next.open)
}

// opened gives an intent's record its open writes, the last of which ends it.
func (m *model) opened(r *held, open []intent) *held {
	r.open, r.exp = open, slices.MaxFunc(open, func(a, b intent) int { return cmp.Compare(a.until, b.until) }).until
	r.h.Until = r.exp
	return r
}

func (m *model) wend(e store.EndWrite) store.EndAnswer {
	r := m.rec
	if r != nil && !r.ours() {
		return store.EndForeign
	}
	defer m.publish(e.Notice)
	if r != nil && r.dirty() {
		return store.EndLost
	}
	var open []intent
	mine := false
	if r != nil && r.is(envelope.Intent) {
		mine = slices.ContainsFunc(r.open, func(i intent) bool { return i.token == e.Token })
		open = slices.DeleteFunc(slices.Clone(r.open), func(i intent) bool { return i.until <= m.now || i.token == e.Token })
	}
	switch {
	case len(open) > 0:
		m.rec = m.opened(&held{h: envelope.Header{Kind: envelope.Intent, Conflict: true}}, open)
		if mine {
			return store.EndOpen
		}
		return store.EndLost
	case mine && !r.h.Conflict && e.Record != nil && e.TTL >= time.Millisecond:
		m.put(m.value(e.Soft, e.Token, e.Version), bodyIn(e.Record), e.TTL)
		return store.EndStored
	}
	m.rec = nil
	if mine {
		return store.EndRemoved
	}
	return store.EndLost
}

// clock masks the deadlines in a record that are some: what a real server's clock
// says is not known.
func clock(text string) string {
	if len(text) < envelope.HeaderSize || !strings.HasPrefix(text, "K1") {
		return text
	}
	masked := []byte(text)
	mask := func(at int) {
		if text[at:at+13] != "0000000000000" {
			copy(masked[at:], "*************")
		}
	}
	mask(3)
	mask(16)
	if text[2] == 'W' {
		for at := envelope.HeaderSize; at+envelope.IntentSize <= len(text); at += envelope.IntentSize {
			mask(at + envelope.TokenSize)
		}
	}
	return string(masked)
}
