package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
)

var (
	//go:embed lua/put.lua
	putLua string
	//go:embed lua/overtake.lua
	overtakeLua string
	//go:embed lua/retire.lua
	retireLua string

	putScript      = newScript("put", putLua).SentOnce()
	overtakeScript = newScript("overtake", overtakeLua)
	retireScript   = newScript("retire", retireLua)
)

// ErrForeign is wrapped by the error of a put or requeue that found bytes or a type
// under the record's key that are not the cache's, or a newer program's record. Nothing
// was changed.
var ErrForeign = errors.New("a foreign record is in the way")

// ErrRetired is the error of a put into a partition that takes none any more. Nothing was
// changed.
var ErrRetired = errors.New("write-behind of this name is retired, or about to be")

// Partition names the Redis keys of one write-behind partition. All of them must
// have the same hash tag: the scripts change several of them at once.
//
// A key that the sink lacks is in Dirty and in Schedule, and its record is dirty. A key
// that the sink would not take is in Letters and Reasons, and its record is a letter.
// No key is both.
type Partition struct {
	// Records is what the keys of records begin with, Letter those of dead letters; the
	// user's key follows.
	Records, Letter string
	// Dirty is a sorted set of keys by since when they are dirty, in ms of Redis time.
	Dirty string
	// Schedule has the same keys by when somebody may take them. Who does moves that time
	// on by a lease, and the new time names his claim.
	Schedule string
	// Tries is a hash of the tries that count, of keys with which the sink has failed.
	Tries string
	// Clock is a string: the last version given.
	Clock string
	// Letters is a sorted set of the keys of dead letters by when they became some;
	// Reasons a hash of why.
	Letters, Reasons string
}

// Record returns the key of the user's key's record.
func (p *Partition) Record(key string) string { return p.Records + key }

// letter returns the key of its record once it is a dead letter.
func (p *Partition) letter(key string) string { return p.Letter + key }

// Put is a value that is to be the newest of its key.
type Put struct {
	Partition *Partition
	// Key is the user's.
	Key string
	// Body is the envelope's, sealed for the record's key and version 0. It is
	// sent as it is and not kept.
	Body []byte
	// MaxDirty is how many dirty keys and dead letters the partition may have; a key that
	// is one already is never refused.
	MaxDirty int
	// Notice is published if the value was stored.
	Notice Notice

	// Version is what the value was given, higher than all that the key ever had. Full says
	// that nothing was stored because there is no room. An Err that Is [ErrForeign] says
	// the same of a record that is not ours, one that Is [ErrRetired] of the partition; after
	// another one the put may still take effect.
	Version uint64
	Full    bool
	Err     error
}

// Put stores values, makes their keys dirty, and drops dead letters of theirs.
//
// A put over a write intent takes the place of the intent, whose end will leave
// the record alone; which of the two the sink has last is then unknown, so ack
// will remove the record instead of keeping it.
//
// The client never sends it twice: a late copy would win over a newer value.
func (s *Store) Put(ctx context.Context, puts []Put) {
	ops := conn.NewOps(putScript.Name, len(puts))
	for i := range puts {
		put, p := &puts[i], puts[i].Partition
		ops.Add(putScript.OnKeys(
			[]string{p.Record(put.Key), p.Dirty, p.Schedule, p.Clock, p.Letters, p.letter(put.Key), p.Reasons},
			put.Key, put.Body, put.MaxDirty, put.Notice.Channel, put.Notice.Message))
	}
	s.conn.Do(ctx, ops)
	for i := range puts {
		reply, err := s.reply(ops, i)
		if err == nil {
			puts[i].Version, puts[i].Full, err = putAnswer(reply)
		}
		puts[i].Err = err
	}
}

func putAnswer(reply any) (version uint64, full bool, err error) {
	switch answer := reply.(type) {
	case int64:
		switch answer {
		case -1:
			return 0, true, nil
		case -2:
			return 0, false, ErrForeign
		case -3:
			return 0, false, ErrRetired
		}
	case string:
		if version, err = strconv.ParseUint(answer, 16, 64); err == nil && version > 0 {
			return version, false, nil
		}
	}
	return 0, false, &conn.AnswerError{Script: putScript.Name, Answer: reply}
}

// HasRoom reports whether a put of key would find room for it in p.
func (s *Store) HasRoom(ctx context.Context, p *Partition, key string, maxDirty int) (bool, error) {
	dirty := conn.Keyed(redis.NewIntCmd(ctx, "zcard", p.Dirty), 1)
	letters := conn.Keyed(redis.NewIntCmd(ctx, "zcard", p.Letters), 1)
	is := conn.Keyed(redis.NewFloatCmd(ctx, "zscore", p.Dirty, key), 1)
	if err := keyErrors(s.conn.Pipe(ctx, "zcard", dirty, letters, is)); err != nil {
		return false, err
	}
	return is.Err() == nil || dirty.Val()+letters.Val() < int64(maxDirty), nil
}

// Overtake asks of a key before it is written past the cache whether it is dirty. If it is
// not, a dead letter of it is not requeued from now on: what it holds is older.
func (s *Store) Overtake(ctx context.Context, p *Partition, key string) (dirty bool, err error) {
	ops := conn.NewOps(overtakeScript.Name, 1)
	ops.Add(overtakeScript.OnKeys([]string{p.Record(key), p.Dirty, p.Schedule, p.letter(key)}, key))
	s.conn.DoWithin(ctx, WorkBudget, ops)
	n, err := s.number(overtakeScript, ops, 0, 0, 1)
	return n == 1, err
}

// Retire has partitions take no puts for so long, or for good if that is 0.
func (s *Store) Retire(ctx context.Context, parts []*Partition, d time.Duration) error {
	return s.retire(ctx, parts, strconv.FormatInt(d.Milliseconds(), 10))
}

// Reopen has partitions take puts again.
func (s *Store) Reopen(ctx context.Context, parts []*Partition) error {
	return s.retire(ctx, parts, "")
}

func (s *Store) retire(ctx context.Context, parts []*Partition, px string) error {
	ops := conn.NewOps(retireScript.Name, len(parts))
	for _, p := range parts {
		ops.Add(retireScript.OnKeys([]string{p.Clock}, px))
	}
	s.conn.DoWithin(ctx, WorkBudget, ops)
	errs := make([]error, len(parts))
	for i := range parts {
		_, errs[i] = s.number(retireScript, ops, i, 0, 1)
	}
	return keyErrors(errs)
}

// CheckPartitions looks for what an earlier program has left where the schedules are: the
// error names it.
func (s *Store) CheckPartitions(ctx context.Context, parts []*Partition) error {
	cmds := make([]redis.Cmder, len(parts))
	for i, p := range parts {
		cmds[i] = conn.Keyed(redis.NewStatusCmd(ctx, "type", p.Schedule), 1)
	}
	if err := keyErrors(s.conn.Pipe(ctx, "type", cmds...)); err != nil {
		return err
	}
	for i, p := range parts {
		if is := cmds[i].(*redis.StatusCmd).Val(); is != "none" && is != "zset" {
			return fmt.Errorf("%s is a %s: an earlier program kept its tickets there; let that program flush what is dirty, then delete the key", p.Schedule, is)
		}
	}
	return nil
}
