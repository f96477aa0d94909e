package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/set.lua
	setLua string

	setScript = newKeyScript("set", setLua).SentOnce()
)

// Entry is a value to be stored without a lease.
type Entry struct {
	Key string
	// Version of the value, 0 for none.
	Version uint64
	// TTL is how long the record shall live, at least 1 ms.
	TTL time.Duration
	// Soft is how much of that it is fresh.
	Soft time.Duration
	// CID is a new token that names the record.
	CID envelope.Token
	// Record is room for the header, which is written to it, and the body. Not kept.
	Record []byte
	// Notice is published unless the record was left as it is.
	Notice Notice

	// Answer is what became of it, unless there is Err: then it may still take effect.
	Answer SetAnswer
	Err    error
}

// SetAnswer is what became of an [Entry].
type SetAnswer byte

const (
	// SetStored: the entry is in Redis; a lease that was there is lost.
	SetStored SetAnswer = 'S'
	// SetOlder: what is cached has a higher version and stays.
	SetOlder SetAnswer = 'O'
	// SetWriting: a write is in progress and was told of the conflict; not stored.
	SetWriting SetAnswer = 'W'
	// SetDirty: a write-behind record is there and stays.
	SetDirty SetAnswer = 'D'
	// SetForeign: the record is not the cache's, or a newer program's, and stays as it is.
	SetForeign SetAnswer = 'X'
)

// Set stores entries over whatever is there, within the limits that [SetAnswer] lists.
// The client never sends it twice.
func (s *Store) Set(ctx context.Context, entries []Entry) {
	ops := conn.NewOps(setScript.Name, len(entries))
	for i := range entries {
		e := &entries[i]
		ops.Add(setScript.On(e.Key, version(e.Version), millis(e.TTL, 1), e.Soft.Milliseconds(), e.headed(),
			e.Notice.Channel, e.Notice.Message))
	}
	s.conn.Do(ctx, ops)
	for i := range entries {
		letter, err := s.letter(setScript, ops, i, "SOWDX")
		entries[i].Answer, entries[i].Err = SetAnswer(letter), err
	}
}

func (e *Entry) headed() []byte { return headed(e.Record, e.CID, e.Version) }
