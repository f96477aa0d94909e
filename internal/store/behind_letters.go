package store

import (
	"context"
	_ "embed"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
)

var (
	//go:embed lua/retry.lua
	retryLua string
	//go:embed lua/drop.lua
	dropLua string

	retryScript = newScript("retry", retryLua).SentOnce()
	dropScript  = newScript("drop", dropLua)
)

var (
	// ErrNoLetter: there is no dead letter of that id. It was retried or dropped.
	ErrNoLetter = errors.New("no such dead letter")
	// ErrNewer: a dead letter was not retried because its key was put again since,
	// or is being written.
	ErrNewer = errors.New("something newer is there")
	// ErrLost: a dead letter was not retried because its value was lost before it
	// became one.
	ErrLost = errors.New("the value is lost")
)

// Letter is a value that the sink did not take.
type Letter struct {
	// ID is unique within the partition and grows with time.
	ID, Key string
	Version uint64
	// Record is the whole record, nil if the value was lost.
	Record []byte
	Reason string
}

// Letters lists at most count dead letters of p with an id above after, "" for
// the first page. One round trip.
func (s *Store) Letters(ctx context.Context, p *Partition, after string, count int) ([]Letter, error) {
	cmd := conn.Keyed(redis.NewXMessageSliceCmd(ctx, "xrange", p.Dead, next(after), "+", "count", count), 1)
	if err := s.conn.Pipe(ctx, "xrange", cmd)[0]; err != nil {
		return nil, err
	}
	var all []Letter
	for _, m := range cmd.Val() {
		all = append(all, letterOf(m))
	}
	return all, nil
}

// LetterByID returns one dead letter, or ErrNoLetter. One round trip.
func (s *Store) LetterByID(ctx context.Context, p *Partition, id string) (Letter, error) {
	cmd := conn.Keyed(redis.NewXMessageSliceCmd(ctx, "xrange", p.Dead, id, id), 1)
	if err := s.conn.Pipe(ctx, "xrange", cmd)[0]; err != nil {
		return Letter{}, err
	}
	if len(cmd.Val()) == 0 {
		return Letter{}, ErrNoLetter
	}
	return letterOf(cmd.Val()[0]), nil
}

func letterOf(m redis.XMessage) Letter {
	l := Letter{ID: m.ID}
	l.Key, _ = m.Values["k"].(string)
	l.Reason, _ = m.Values["why"].(string)
	text, _ := m.Values["ver"].(string)
	l.Version, _ = strconv.ParseUint(text, 10, 64)
	if rec, _ := m.Values["rec"].(string); rec != "" {
		l.Record = []byte(rec)
	}
	return l
}

// RetryLetter makes the letter's value dirty again with its old version, and the
// newest for readers, whatever MaxDirty says. Errors: ErrNoLetter; [ErrNewer];
// ErrLost; [ErrForeign]. What was written past the cache after the value died is
// not seen: there the sink's comparison of versions decides. One round trip,
// never sent twice by the client.
func (s *Store) RetryLetter(ctx context.Context, p *Partition, l Letter, n Notice) error {
	reply, err := s.evalKeys(ctx, retryScript,
		[]string{p.Record(l.Key), p.Dirty, p.Tickets, p.Dead, p.Doomed},
		l.ID, l.Key, n.Channel, n.Message)
	if err != nil {
		return err
	}
	switch reply {
	case int64(1):
		return nil
	case int64(0):
		return ErrNoLetter
	case int64(-1):
		return ErrNewer
	case int64(-2):
		return ErrLost
	case int64(-3):
		return ErrForeign
	}
	return &conn.AnswerError{Script: retryScript.Name, Answer: reply}
}

// DropLetter forgets a dead letter, or returns ErrNoLetter. One round trip.
func (s *Store) DropLetter(ctx context.Context, p *Partition, id string) error {
	reply, err := s.evalKeys(ctx, dropScript, []string{p.Dead, p.Doomed}, id)
	if err != nil {
		return err
	}
	switch reply {
	case int64(1):
		return nil
	case int64(0):
		return ErrNoLetter
	}
	return &conn.AnswerError{Script: dropScript.Name, Answer: reply}
}
