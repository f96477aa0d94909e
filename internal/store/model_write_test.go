package store_test

import (
	"slices"
	"strings"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

func (m *model) store(e store.Entry) {
	m.put(envelope.Header{Kind: envelope.Value, Token: envelope.NoToken, CID: e.CID, Version: e.Version}, string(e.Body), e.TTL)
	m.publish(e.Notice)
}

func (m *model) set(e store.Entry) store.SetAnswer {
	switch r := m.rec; {
	case r == nil:
	case !r.ours():
		return store.SetForeign
	case r.dirty():
		return store.SetDirty
	case m.open():
		r.h.Conflict = true
		m.publish(e.Notice)
		return store.SetWriting
	case r.is(envelope.Value, envelope.Soft) && e.Version != 0 && r.h.Version > e.Version:
		return store.SetOlder
	}
	m.store(e)
	return store.SetStored
}

func (m *model) setv(e store.Entry) store.VersionedAnswer {
	r := m.rec
	switch {
	case r == nil:
		m.publish(e.Notice)
		return store.VersionedMissing
	case !r.ours(), r.dirty():
		return store.VersionedBypassed
	case r.is(envelope.Intent):
		r.h.Conflict = true
		m.publish(e.Notice)
		return store.VersionedWriting
	case r.is(envelope.Value) && r.h.Version != 0:
		if r.h.Version > e.Version || r.h.Version == e.Version && r.h.CID == e.CID {
			return store.VersionedOlder
		}
		if r.h.Version < e.Version {
			m.store(e)
			return store.VersionedStored
		}
	}
	m.rec = nil
	m.publish(e.Notice)
	return store.VersionedRemoved
}

func (m *model) invalidate(n store.Notice) store.InvalidateAnswer {
	answer := store.NothingThere
	switch r := m.rec; {
	case r == nil, r.hash:
	case r.dirty():
		return store.DirtyKept
	case m.open():
		r.h.Conflict = true
		answer = store.IntentKept
	default:
		m.rec = nil
		answer = store.Removed
	}
	m.publish(n)
	return answer
}

func (m *model) expire(stale time.Duration, n store.Notice) store.ExpireAnswer {
	r := m.rec
	answer := store.ExpireNothing
	switch {
	case r == nil:
	case !r.ours():
		return store.ExpireForeign
	case r.dirty():
		return store.ExpireNothing
	case r.is(envelope.Value, envelope.Soft):
		r.h.Kind, r.h.Until, r.h.Token = envelope.Soft, 0, envelope.NoToken
		if r.exp == 0 || r.exp > m.in(stale) {
			r.exp = m.in(stale)
		}
		answer = store.ExpireSoft
	case r.is(envelope.Intent):
		r.h.Conflict = true
		answer = store.ExpireWriting
	case r.whole():
		m.rec = nil
	}
	m.publish(n)
	return answer
}

func (m *model) wbegin(t envelope.Token, intent time.Duration) int {
	next := &held{exp: m.in(intent)}
	if r := m.rec; r != nil {
		switch {
		case !r.ours():
			return store.IntentForeign
		case r.dirty():
			return store.IntentDirty
		case m.open():
			if slices.Contains(r.tokens, t) {
				return len(r.tokens)
			}
			next.tokens, next.h.Conflict = slices.Clone(r.tokens), true
			next.exp = max(next.exp, r.h.Until)
		}
	}
	next.h.Kind, next.h.Until = envelope.Intent, next.exp
	next.tokens = append(next.tokens, t)
	m.rec = next
	return len(next.tokens)
}

func (m *model) wend(e store.EndWrite) store.EndAnswer {
	r := m.rec
	if r != nil && !r.ours() {
		return store.EndForeign
	}
	defer m.publish(e.Notice)
	if r == nil || !r.is(envelope.Intent) {
		if r != nil && !r.dirty() {
			m.rec = nil
		}
		return store.EndLost
	}
	i := slices.Index(r.tokens, e.Token)
	if i < 0 {
		r.h.Conflict = true
		return store.EndLost
	}
	r.tokens = slices.Delete(r.tokens, i, i+1)
	if len(r.tokens) > 0 {
		r.h.Conflict = true
		return store.EndOpen
	}
	if r.h.Conflict || len(e.Body) == 0 || e.TTL < time.Millisecond {
		m.rec = nil
		return store.EndRemoved
	}
	m.put(envelope.Header{Kind: envelope.Value, Token: envelope.NoToken, CID: e.Token, Version: e.Version}, string(e.Body), e.TTL)
	return store.EndStored
}

// clock masks the deadline in a record, 13 digits from the fourth byte on, unless
// it is none: what a real server's clock says is not known.
func clock(text string) string {
	if len(text) < envelope.HeaderSize || strings.HasPrefix(text[3:], "0000000000000") {
		return text
	}
	return text[:3] + "*************" + text[16:]
}
