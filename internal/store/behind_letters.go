package store

import (
	"context"
	_ "embed"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/requeue.lua
	requeueLua string
	//go:embed lua/drop.lua
	dropLua string

	requeueScript = newScript("requeue", requeueLua).SentOnce()
	dropScript    = newScript("drop", dropLua)
)

var (
	// ErrNoLetter: there is no such dead letter. It was requeued or dropped, or the key was
	// put again.
	ErrNoLetter = errors.New("no such dead letter")
	// ErrNewer: a dead letter was not requeued because its key was written since,
	// or is being written.
	ErrNewer = errors.New("something newer is there")
	// ErrLost: a dead letter was not requeued because its value was lost before it
	// became one.
	ErrLost = errors.New("the value is lost")
)

// Letter is a value that the sink did not take.
type Letter struct {
	Partition *Partition
	Key       string
	Version   string // as the record spells it; "": the value was lost
	// Since is when it became one.
	Since   time.Time
	Deleted bool
	Size    int // of its record
	Reason  string
	// Notice is published if it was requeued.
	Notice Notice

	// Err is why it was not requeued or dropped: ErrNoLetter, ErrNewer, ErrLost,
	// [ErrForeign], or others, after which that is open.
	Err error
}

// version is how the scripts spell it.
func (l *Letter) version() string {
	if l.Version == "" {
		return version(0)
	}
	return l.Version
}

// LetterPage is a place among the dead letters of a partition. The zero value is before the
// first.
type LetterPage struct {
	from string          // when the last one seen became one
	seen map[string]bool // those of that time
}

// Letters returns the next dead letters of p, the oldest first, at most count, that became
// some until then. None are left if it returns none. One that is there all the time is
// returned, whatever goes meanwhile. What they hold is not read. Two exchanges.
func (s *Store) Letters(ctx context.Context, p *Partition, at *LetterPage, until time.Time, count int) ([]Letter, error) {
	if at.from == "" {
		at.from, at.seen = "-inf", map[string]bool{}
	}
	page := conn.Keyed(redis.NewZSliceCmd(ctx, "zrangebyscore", p.Letters, at.from, until.UnixMilli(),
		"withscores", "limit", 0, count+len(at.seen)), 1)
	if err := s.conn.Pipe(ctx, "zrangebyscore", page)[0]; err != nil {
		return nil, err
	}
	var all []Letter
	for _, z := range page.Val() {
		key, _ := z.Member.(string)
		score := strconv.FormatFloat(z.Score, 'f', 0, 64)
		if score != at.from {
			at.from = score
			clear(at.seen)
		} else if at.seen[key] {
			continue
		}
		at.seen[key] = true
		all = append(all, Letter{Partition: p, Key: key, Since: scoreTime(score)})
	}
	return s.describe(ctx, p, all)
}

// describe reads what there is beside the values.
func (s *Store) describe(ctx context.Context, p *Partition, all []Letter) ([]Letter, error) {
	if len(all) == 0 {
		return nil, nil
	}
	reasons, cmds := []any{"hmget", p.Reasons}, make([]redis.Cmder, 0, 1+2*len(all))
	for i := range all {
		reasons = append(reasons, all[i].Key)
		name := p.letter(all[i].Key)
		cmds = append(cmds,
			conn.Keyed(redis.NewStringCmd(ctx, "getrange", name, 0, envelope.PeekSize-1), 1),
			conn.Keyed(redis.NewIntCmd(ctx, "strlen", name), 1))
	}
	why := conn.Keyed(redis.NewSliceCmd(ctx, reasons...), 1)
	if err := keyErrors(s.conn.Pipe(ctx, "getrange", append(cmds, why)...)); err != nil {
		return nil, err
	}
	for i := range all {
		head := []byte(cmds[2*i].(*redis.StringCmd).Val())
		all[i].Version, all[i].Deleted = VersionIn(head), envelope.SaysAbsent(head)
		all[i].Size = int(cmds[2*i+1].(*redis.IntCmd).Val())
		all[i].Reason, _ = why.Val()[i].(string)
	}
	return all, nil
}

// LetterRecords reads the records of letters of one partition: one command, whose answer is
// as large as all of them.
func (s *Store) LetterRecords(ctx context.Context, letters []Letter) ([][]byte, error) {
	keys := make([]string, len(letters))
	for i := range letters {
		keys[i] = letters[i].Partition.letter(letters[i].Key)
	}
	return s.Records(ctx, keys)
}

// Requeue makes values of letters dirty again with their old versions, and the newest for
// readers. What was written past the cache after they died is not seen, but by [Store.Overtake]:
// there the sink's comparison of versions decides. The client never sends it twice.
func (s *Store) Requeue(ctx context.Context, letters []Letter) {
	ops := conn.NewOps(requeueScript.Name, len(letters))
	for i := range letters {
		l, p := &letters[i], letters[i].Partition
		ops.Add(requeueScript.OnKeys([]string{p.Record(l.Key), p.Dirty, p.Schedule, p.Letters, p.letter(l.Key), p.Reasons},
			l.Key, l.version(), l.Notice.Channel, l.Notice.Message))
	}
	s.letters(ctx, requeueScript, ops, letters)
}

// Drop forgets letters. It is safe to repeat.
func (s *Store) Drop(ctx context.Context, letters []Letter) {
	ops := conn.NewOps(dropScript.Name, len(letters))
	for i := range letters {
		l, p := &letters[i], letters[i].Partition
		ops.Add(dropScript.OnKeys([]string{p.Letters, p.letter(l.Key), p.Reasons}, l.Key, l.version()))
	}
	s.letters(ctx, dropScript, ops, letters)
}

func (s *Store) letters(ctx context.Context, sc *conn.Script, ops *conn.Ops, letters []Letter) {
	s.conn.DoWithin(ctx, WorkBudget, ops)
	for i := range letters {
		n, err := s.number(sc, ops, i, -3, 1)
		if err == nil {
			err = map[int64]error{0: ErrNoLetter, -1: ErrNewer, -2: ErrLost, -3: ErrForeign}[n]
		}
		letters[i].Err = err
	}
}

// scoreTime is the time that a score says, zero for none.
func scoreTime(score string) time.Time {
	ms, err := strconv.ParseFloat(score, 64)
	if err != nil || ms <= 0 || ms > math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}
