package store_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

const modelRoom = 3

// behindMachine drives the scripts and the model through the same steps: puts,
// workers that take, read, settle, crash and are taken over, and an operator.
type behindMachine struct {
	*behind
	ctx   context.Context //nolint:containedctx // of one run
	model behindModel
	used  []behindTicket // ended or not, for those who settle twice
}

var (
	behindKeys    = rapid.SampledFrom([]string{"a", "b", "c", "d"})
	behindWorkers = rapid.SampledFrom([]string{"w1", "w2"})
)

func (m *behindMachine) put(t *rapid.T) {
	key, body := behindKeys.Draw(t, "key"), bodies.Draw(t, "body")
	v, full, err := m.store.Put(m.ctx, store.Put{Partition: part, Key: key, Body: []byte(body), MaxDirty: modelRoom})
	require.NoError(t, err)
	require.Equal(t, !m.model.put(key, body, modelRoom), full)
	if !full {
		require.Greater(t, v, m.model.last, "versions grow")
		m.model.last, m.model.key(key).dirty = v, v
	}
}

// take delivers what is fresh. A worker reads what it has taken at once or never:
// then it has crashed.
func (m *behindMachine) take(t *rapid.T) {
	worker := behindWorkers.Draw(t, "worker")
	got, err := m.store.ReadTickets(m.ctx, behindGroup, worker,
		[]store.TicketRead{{Partition: part, Count: rapid.IntRange(1, 3).Draw(t, "count")}})
	require.NoError(t, err)
	for _, ticket := range got[0] {
		held := m.fresh(t, ticket)
		held.id, held.holder = ticket.ID, worker
		m.read(t, held)
	}
}

// fresh is the model's ticket that was delivered: the oldest of its key.
func (m *behindMachine) fresh(t *rapid.T, got store.Ticket) *behindTicket {
	for _, held := range m.model.tickets {
		if held.id == "" && held.key == got.Key {
			return held
		}
	}
	t.Fatalf("ticket %v comes from nowhere", got)
	return nil
}

func (m *behindMachine) read(t *rapid.T, held *behindTicket) {
	all, err := m.store.ReadDirty(m.ctx, []store.DirtyRead{{Partition: part, Keys: []string{held.key}}})
	require.NoError(t, err)
	require.Equal(t, m.model.key(held.key).dirty, all[0][0].Version)
	held.read = all[0][0].Version
	m.used = append(m.used, *held)
}

// takeOver claims a ticket that somebody left behind.
func (m *behindMachine) takeOver(t *rapid.T) {
	worker := behindWorkers.Draw(t, "worker")
	all, err := m.store.PendingTickets(m.ctx, behindGroup, 0, 100, []store.PendingRead{{Partition: part}})
	require.NoError(t, err)
	held := map[string]*behindTicket{}
	for _, ticket := range m.model.tickets {
		if ticket.id != "" {
			held[ticket.id] = ticket
		}
	}
	require.Len(t, all[0], len(held))
	for _, p := range all[0] {
		require.Equal(t, held[p.ID].holder, p.Consumer)
	}
	if len(all[0]) == 0 {
		return
	}
	p := rapid.SampledFrom(all[0]).Draw(t, "ticket")
	require.NoError(t, m.redis.Do(m.ctx, "xclaim", part.Tickets, behindGroup, p.Consumer, 0, p.ID,
		"idle", 60_000, "retrycount", p.Deliveries).Err()) // time goes by
	got, err := m.store.Claim(m.ctx, behindGroup, worker, part, time.Minute, []string{p.ID})
	require.NoError(t, err)
	require.Equal(t, []store.Ticket{{ID: p.ID, Key: held[p.ID].key}}, got)
	held[p.ID].holder = worker
	m.read(t, held[p.ID])
}

// settlement draws one by somebody who once had a ticket, maybe long ago.
func (m *behindMachine) settlement(t *rapid.T) (store.Settlement, bool) {
	if len(m.used) == 0 {
		return store.Settlement{}, false
	}
	u := rapid.SampledFrom(m.used).Draw(t, "ticket")
	return settlement(store.Ticket{ID: u.id, Key: u.key}, u.read), true
}

func (m *behindMachine) ack(t *rapid.T) {
	s, ok := m.settlement(t)
	if !ok {
		return
	}
	keep := rapid.Bool().Draw(t, "keep")
	if !keep {
		s.TTL = 0
	}
	for range rapid.IntRange(1, 2).Draw(t, "sent") {
		answers, errs := m.store.Ack(m.ctx, behindGroup, []store.Settlement{s})
		require.NoError(t, errs[0])
		require.Equal(t, m.model.ack(s.Ticket, s.Key, s.Version, keep), answers[0])
	}
}

func (m *behindMachine) bury(t *rapid.T) {
	s, ok := m.settlement(t)
	if !ok {
		return
	}
	for range rapid.IntRange(1, 2).Draw(t, "sent") {
		answers, errs := m.store.Bury(m.ctx, behindGroup, []store.Settlement{s})
		require.NoError(t, errs[0])
		require.Equal(t, m.model.bury(s.Ticket, s.Key, s.Version), answers[0])
		m.nameLetters(t)
	}
}

// nameLetters gives a new letter of the model the id it has in Redis.
func (m *behindMachine) nameLetters(t *rapid.T) {
	all, err := m.store.Letters(m.ctx, part, "", 100)
	require.NoError(t, err)
	require.Len(t, all, len(m.model.letters))
	for i, l := range all {
		want := m.model.letters[i]
		want.id = l.ID
		require.Equal(t, want.key, l.Key)
		require.Equal(t, want.v, l.Version)
		require.Equal(t, want.body, string(l.Record[envelope.HeaderSize:]))
	}
}

func (m *behindMachine) retry(t *rapid.T) {
	if len(m.model.letters) == 0 {
		return
	}
	l := rapid.SampledFrom(m.model.letters).Draw(t, "letter")
	err := m.store.RetryLetter(m.ctx, part, store.Letter{ID: l.id, Key: l.key}, store.Notice{})
	require.Equal(t, m.model.retry(l), err)
}

func (m *behindMachine) drop(t *rapid.T) {
	if len(m.model.letters) == 0 {
		return
	}
	l := rapid.SampledFrom(m.model.letters).Draw(t, "letter")
	m.model.drop(l, false)
	require.NoError(t, m.store.DropLetter(m.ctx, part, l.id))
}

// sweep finds nothing: no step loses a ticket.
func (m *behindMachine) sweep(t *rapid.T) {
	n, err := m.store.Sweep(m.ctx, behindGroup, part, soon)
	require.NoError(t, err)
	require.Zero(t, n)
}

// check compares all that there is.
func (m *behindMachine) check(t *rapid.T) {
	require.Empty(t, m.model.broken())
	require.Equal(t, [4]int64{
		int64(len(m.model.tickets)), int64(m.model.dirty()), int64(len(m.model.letters)), int64(m.model.doomed()),
	}, m.counts())
	for name, k := range m.model.keys {
		require.Equal(t, k.dirty, m.dirty(name), name)
		h, body := m.record(name)
		require.Equal(t, k.kind, byte(h.Kind), name)
		require.Equal(t, k.body, body, name)
		if k.kind == 'D' {
			require.Equal(t, k.dirty, h.Version, name)
		}
	}
}

func conformBehind(t *testing.T, c *redis.Client) {
	t.Helper()
	s := open(t, c)
	rapid.Check(t, func(r *rapid.T) {
		require.NoError(r, c.FlushAll(t.Context()).Err())
		require.NoError(r, s.EnsureGroups(t.Context(), behindGroup, []*store.Partition{part}))
		m := &behindMachine{behind: &behind{t: t, store: s, redis: c}, ctx: t.Context()}
		r.Repeat(map[string]func(*rapid.T){
			"": m.check, "put": m.put, "put again": m.put, "take": m.take, "take over": m.takeOver,
			"ack": m.ack, "bury": m.bury, "retry": m.retry, "drop": m.drop, "sweep": m.sweep,
		})
	})
}

func TestBehindConformanceOnMiniredis(t *testing.T) {
	t.Parallel()
	m := mini(t)
	conformBehind(t, redistest.Dial(t, m.Addr()))
}

func TestBehindConformanceOnRedis(t *testing.T) {
	t.Parallel()
	conformBehind(t, redistest.Single(t).Client(t))
}

func TestLaterComparesNumbers(t *testing.T) {
	for i, pair := range [][2]string{{"10-0", "9-9"}, {"9-10", "9-9"}, {"0-1", ""}} {
		require.True(t, store.Later(pair[0], pair[1]), strconv.Itoa(i))
		require.False(t, store.Later(pair[1], pair[0]), strconv.Itoa(i))
	}
}
