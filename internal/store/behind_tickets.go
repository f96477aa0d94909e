package store

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
)

// Ticket entitles its holder to write a dirty key to the sink.
type Ticket struct {
	ID, Key string
}

// Pending is a ticket that was delivered and not ended.
type Pending struct {
	ID, Consumer string
	// Idle is the time since the last delivery.
	Idle time.Duration
	// Deliveries counts how often somebody got the ticket.
	Deliveries int
}

// EnsureGroups makes the group of workers in each partition, so that it gets all
// tickets that are there. A group that exists is left as it is. One pipeline.
func (s *Store) EnsureGroups(ctx context.Context, group string, parts []*Partition) error {
	cmds := make([]redis.Cmder, len(parts))
	for i, p := range parts {
		cmds[i] = conn.Keyed(redis.NewStatusCmd(ctx, "xgroup", "create", p.Tickets, group, "0", "mkstream"), 2)
	}
	errs := s.conn.Pipe(ctx, "xgroup create", cmds...)
	for i, err := range errs {
		if err != nil && redis.HasErrorPrefix(err, "BUSYGROUP") {
			errs[i] = nil
		}
	}
	return keyErrors(errs)
}

// NoGroup reports whether err says that a partition's group or stream is gone:
// Redis was emptied or replaced. EnsureGroups mends it.
func NoGroup(err error) bool {
	var all KeyErrors
	if errors.As(err, &all) {
		for _, one := range all {
			if one != nil && NoGroup(one) {
				return true
			}
		}
		return false
	}
	return err != nil && redis.HasErrorPrefix(err, "NOGROUP")
}

// TicketRead asks one partition for tickets.
type TicketRead struct {
	Partition *Partition
	Count     int
}

// ReadTickets delivers tickets that nobody has got yet to consumer, at most
// Count of each partition. It does not wait for any: a blocking read would hold
// one connection of the client's pool per partition, since a cluster answers it
// for one slot only, and nothing ends it early. One pipeline.
//
// Element i belongs to read i. A [KeyErrors] says which partitions failed; the
// tickets of the others are good. Tickets of a lost reply stay pending.
func (s *Store) ReadTickets(ctx context.Context, group, consumer string, reads []TicketRead) ([][]Ticket, error) {
	cmds := make([]redis.Cmder, len(reads))
	for i, r := range reads {
		cmds[i] = conn.Keyed(redis.NewXStreamSliceCmd(ctx, "xreadgroup", "group", group, consumer,
			"count", r.Count, "streams", r.Partition.Tickets, ">"), 7)
	}
	errs := s.conn.Pipe(ctx, "xreadgroup", cmds...)
	all := make([][]Ticket, len(reads))
	for i, err := range errs {
		if err != nil {
			continue
		}
		for _, stream := range cmds[i].(*redis.XStreamSliceCmd).Val() {
			all[i] = appendTickets(all[i], stream.Messages)
		}
	}
	return all, keyErrors(errs)
}

func appendTickets(to []Ticket, messages []redis.XMessage) []Ticket {
	for _, m := range messages {
		key, _ := m.Values["k"].(string)
		to = append(to, Ticket{ID: m.ID, Key: key})
	}
	return to
}

// PendingRead asks one partition for pending tickets.
type PendingRead struct {
	Partition *Partition
	// After is the id of the last ticket seen, "" for the first page.
	After string
}

// PendingTickets lists at most count tickets of each partition, in the order of
// their ids, that were delivered at least idle ago. One pipeline. Elements and
// error are as of ReadTickets.
func (s *Store) PendingTickets(
	ctx context.Context, group string, idle time.Duration, count int, reads []PendingRead,
) ([][]Pending, error) {
	cmds := make([]redis.Cmder, len(reads))
	for i, r := range reads {
		cmds[i] = conn.Keyed(redis.NewXPendingExtCmd(ctx, "xpending", r.Partition.Tickets, group,
			"idle", millis(idle, 0), next(r.After), "+", count), 1)
	}
	errs := s.conn.Pipe(ctx, "xpending", cmds...)
	all := make([][]Pending, len(reads))
	for i, err := range errs {
		if err != nil {
			continue
		}
		for _, p := range cmds[i].(*redis.XPendingExtCmd).Val() {
			all[i] = append(all[i], Pending{
				ID: p.ID, Consumer: p.Consumer, Idle: p.Idle, Deliveries: int(p.RetryCount),
			})
		}
	}
	return all, keyErrors(errs)
}

// next is the start of a range that begins behind id, "" for the very first.
// Redis spells it "(" too, but not every double of it does.
func next(id string) string {
	if id == "" {
		return "-"
	}
	ms, seq := splitID(id)
	if seq == math.MaxUint64 {
		ms, seq = ms+1, 0
	} else {
		seq++
	}
	return strconv.FormatUint(ms, 10) + "-" + strconv.FormatUint(seq, 10)
}

// Claim delivers pending tickets of one partition to consumer, except those that
// somebody else got less than idle ago: of two processes that claim the same
// ticket one gets it. Each delivery counts. One round trip.
func (s *Store) Claim(
	ctx context.Context, group, consumer string, p *Partition, idle time.Duration, ids []string,
) ([]Ticket, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := []any{"xclaim", p.Tickets, group, consumer, strconv.FormatInt(millis(idle, 1), 10)}
	for _, id := range ids {
		args = append(args, id)
	}
	cmd := conn.Keyed(redis.NewXMessageSliceCmd(ctx, args...), 1)
	if err := s.conn.Pipe(ctx, "xclaim", cmd)[0]; err != nil {
		return nil, err
	}
	return appendTickets(nil, cmd.Val()), nil
}

// DirtyRead asks one partition for what its dirty keys hold.
type DirtyRead struct {
	Partition *Partition
	Keys      []string
}

// Dirty is a key as a worker finds it.
type Dirty struct {
	// Version of the latest value; 0: the key is not dirty.
	Version uint64
	// Record is what is under the record's key, nil if nothing is.
	Record []byte
}

// ReadDirty reads versions, and after them records, so that a dirty key without
// a record of its version or a newer one has lost it, unless it was settled
// between the two. One pipeline. Element i belongs to read i, and so on for its
// keys; a partition that failed has none, and the error is a [KeyErrors].
func (s *Store) ReadDirty(ctx context.Context, reads []DirtyRead) ([][]Dirty, error) {
	cmds := make([]redis.Cmder, 0, 2*len(reads))
	for _, r := range reads {
		versions, records := []any{"hmget", r.Partition.Dirty}, []any{"mget"}
		for _, key := range r.Keys {
			versions, records = append(versions, key), append(records, r.Partition.Record(key))
		}
		cmds = append(cmds,
			conn.Keyed(redis.NewSliceCmd(ctx, versions...), 1), conn.Keyed(redis.NewSliceCmd(ctx, records...), 1))
	}
	each := s.conn.Pipe(ctx, "read dirty keys", cmds...)
	all, errs := make([][]Dirty, len(reads)), make([]error, len(reads))
	for i := range reads {
		if errs[i] = errors.Join(each[2*i], each[2*i+1]); errs[i] == nil {
			all[i] = dirtyOf(cmds[2*i].(*redis.SliceCmd).Val(), cmds[2*i+1].(*redis.SliceCmd).Val())
		}
	}
	return all, keyErrors(errs)
}

func dirtyOf(versions, records []any) []Dirty {
	all := make([]Dirty, len(versions))
	for i := range all {
		if text, ok := versions[i].(string); ok {
			all[i].Version, _ = strconv.ParseUint(text, 10, 64)
		}
		if rec, ok := records[i].(string); ok {
			all[i].Record = []byte(rec)
		}
	}
	return all
}
