package store

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
)

var (
	//go:embed lua/reticket.lua
	reticketLua string

	reticketScript = newScript("reticket", reticketLua)
)

const sweepPage = 512

// sweep looks for the dirty keys of one partition that no ticket will ever bring
// to a worker.
type sweep struct {
	store  *Store
	group  string
	p      *Partition
	before uint64 // versions of this age count
	keys   map[string]uint64
	mended int
}

// Sweep gives a ticket to each dirty key whose version is at most before (in µs
// of Redis time, as versions are) and that has none, or one that nobody will be
// given: the group has it behind it and knows nothing of it, because a consumer
// was deleted. It returns how many it mended.
//
// A key that merely waits for its next try keeps its ticket, however old it is;
// else an hour without a sink would give each key dozens. Reading the tickets
// from old to new sees at least one of a key whose ticket is replaced meanwhile,
// since the new one is at the end.
//
// It costs a scan of the dirty keys, and where one is that old also one of the
// tickets. Two processes that sweep at once may give a key two tickets: it is
// then written twice, with the same version.
func (s *Store) Sweep(ctx context.Context, group string, p *Partition, before uint64) (int, error) {
	w := &sweep{store: s, group: group, p: p, before: before, keys: map[string]uint64{}}
	if err := w.collect(ctx); err != nil || len(w.keys) == 0 {
		return 0, err
	}
	if err := w.tickets(ctx); err != nil {
		return w.mended, err
	}
	for key, v := range w.keys {
		if err := w.reticket(ctx, key, v, ""); err != nil {
			return w.mended, err
		}
	}
	return w.mended, nil
}

// collect finds the old dirty keys.
func (w *sweep) collect(ctx context.Context) error {
	return w.store.eachDirty(ctx, w.p, func(key string, v uint64) {
		if v <= w.before {
			w.keys[key] = v
		}
	})
}

// eachDirty calls f with every dirty key that is there all the time. A key may
// come twice.
func (s *Store) eachDirty(ctx context.Context, p *Partition, f func(key string, v uint64)) error {
	cursor := "0"
	for {
		cmd := conn.Keyed(redis.NewCmd(ctx, "hscan", p.Dirty, cursor, "count", sweepPage), 1)
		if err := s.conn.Pipe(ctx, "hscan", cmd)[0]; err != nil {
			return err
		}
		following, fields, ok := scanPage(cmd.Val())
		if !ok {
			return &conn.AnswerError{Script: "hscan", Answer: cmd.Val()}
		}
		for i := 0; i+1 < len(fields); i += 2 {
			key, _ := fields[i].(string)
			text, _ := fields[i+1].(string)
			if v, err := strconv.ParseUint(text, 10, 64); err == nil {
				f(key, v)
			}
		}
		if following == "0" {
			return nil
		}
		cursor = following
	}
}

func scanPage(reply any) (cursor string, fields []any, ok bool) {
	list, _ := reply.([]any)
	if len(list) != 2 {
		return "", nil, false
	}
	cursor, ok = list[0].(string)
	fields, ok2 := list[1].([]any)
	return cursor, fields, ok && ok2
}

// tickets takes the keys out that have one, and mends those with a dead one.
func (w *sweep) tickets(ctx context.Context) error {
	delivered, err := w.lastDelivered(ctx)
	if err != nil {
		return err
	}
	for from := ""; ; {
		cmd := conn.Keyed(redis.NewXMessageSliceCmd(ctx,
			"xrange", w.p.Tickets, next(from), "+", "count", sweepPage), 1)
		if err := w.store.conn.Pipe(ctx, "xrange", cmd)[0]; err != nil {
			return err
		}
		page := appendTickets(nil, cmd.Val())
		if err := w.page(ctx, page, delivered); err != nil {
			return err
		}
		if len(page) < sweepPage {
			return nil
		}
		from = page[len(page)-1].ID
	}
}

// page looks at some tickets. Whoever is among those delivered must be pending.
func (w *sweep) page(ctx context.Context, page []Ticket, delivered string) error {
	var suspects []Ticket
	var cmds []redis.Cmder
	for _, t := range page {
		if _, old := w.keys[t.Key]; !old {
			continue
		}
		if Later(t.ID, delivered) {
			delete(w.keys, t.Key)
			continue
		}
		suspects = append(suspects, t)
		cmds = append(cmds, conn.Keyed(redis.NewXPendingExtCmd(ctx,
			"xpending", w.p.Tickets, w.group, t.ID, t.ID, 1), 1))
	}
	for i, err := range w.store.conn.Pipe(ctx, "xpending", cmds...) {
		if err != nil {
			return err
		}
		t := suspects[i]
		if len(cmds[i].(*redis.XPendingExtCmd).Val()) == 0 {
			if err := w.reticket(ctx, t.Key, 0, t.ID); err != nil {
				return err
			}
		}
		delete(w.keys, t.Key)
	}
	return nil
}

// lastDelivered is the id up to which the group has been given tickets.
func (w *sweep) lastDelivered(ctx context.Context) (string, error) {
	cmd := conn.Keyed(redis.NewXInfoGroupsCmd(ctx, w.p.Tickets), 2)
	if err := w.store.conn.Pipe(ctx, "xinfo groups", cmd)[0]; err != nil {
		return "", err
	}
	for _, g := range cmd.Val() {
		if g.Name == w.group {
			return g.LastDeliveredID, nil
		}
	}
	return "", nil // no group: whoever makes it gets all tickets
}

func (w *sweep) reticket(ctx context.Context, key string, v uint64, dead string) error {
	reply, err := w.store.evalKeys(ctx, reticketScript,
		[]string{w.p.Dirty, w.p.Tickets}, key, decimal(v), dead)
	if err != nil {
		return err
	}
	n, ok := reply.(int64)
	if !ok || n < 0 || n > 1 {
		return &conn.AnswerError{Script: reticketScript.Name, Answer: reply}
	}
	w.mended += int(n)
	return nil
}

// dirtyVersions returns the versions of some keys, 0 for those not dirty.
func (s *Store) dirtyVersions(ctx context.Context, p *Partition, keys ...string) ([]uint64, error) {
	args := []any{"hmget", p.Dirty}
	for _, key := range keys {
		args = append(args, key)
	}
	cmd := conn.Keyed(redis.NewSliceCmd(ctx, args...), 1)
	if err := s.conn.Pipe(ctx, "hmget", cmd)[0]; err != nil {
		return nil, err
	}
	versions := make([]uint64, len(keys))
	for i, d := range dirtyOf(cmd.Val(), make([]any, len(keys))) {
		versions[i] = d.Version
	}
	return versions, nil
}

// PruneConsumers removes the names of workers that have no ticket and have not
// had one for idle: those of processes that are gone, and of workers without work,
// whose next ticket makes them known again. Should that happen in between, Sweep
// finds the ticket. One round trip, and one for all names removed.
func (s *Store) PruneConsumers(ctx context.Context, group string, p *Partition, idle time.Duration) (int, error) {
	list := conn.Keyed(redis.NewXInfoConsumersCmd(ctx, p.Tickets, group), 2)
	if err := s.conn.Pipe(ctx, "xinfo consumers", list)[0]; err != nil {
		return 0, err
	}
	var cmds []redis.Cmder
	for _, c := range list.Val() {
		if c.Pending == 0 && c.Idle >= idle {
			cmds = append(cmds, conn.Keyed(redis.NewIntCmd(ctx, "xgroup", "delconsumer", p.Tickets, group, c.Name), 2))
		}
	}
	return len(cmds), keyErrors(s.conn.Pipe(ctx, "xgroup delconsumer", cmds...))
}
