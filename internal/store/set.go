package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/set.lua
	setLua string
	//go:embed lua/setv.lua
	setvLua string

	setScript  = sentOnce(newKeyScript("set", setLua))
	setvScript = newScript("setv", setvLua)
)

// sentOnce marks a script that the client must not repeat after a timeout, because
// the first copy may still run, much later. A late copy of set would bring an
// older value back over a newer one. A late acquire would grant a token again
// that an invalidation has killed meanwhile, and with it the commit of what was
// loaded before; a late wbegin would reopen an intent without the mark of the
// writes that overlapped it. (internal/model, variants 56 and 57.)
func sentOnce(s *script) *script {
	s.once = true
	return s
}

// Entry is a value to be stored without a lease.
type Entry struct {
	// Version of the value, 0 for none.
	Version uint64
	// TTL is how long the record shall live, at least 1 ms.
	TTL time.Duration
	// Soft is how much of that it is fresh.
	Soft time.Duration
	// CID is a new token that names the record.
	CID envelope.Token
	// Body is sent as it is and not kept.
	Body []byte
	// Notice is published unless the record was left as it is.
	Notice Notice
}

// SetAnswer is what became of a [Store.Set].
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

// Set stores e over whatever is there, within the limits that [SetAnswer] lists.
// One round trip. The client never sends it twice; after an error it may still
// take effect.
func (s *Store) Set(ctx context.Context, key string, e Entry) (SetAnswer, error) {
	reply, err := s.evalOrder(ctx, setOrder(key, e))
	if err != nil {
		return 0, err
	}
	letter, err := oneOf(setScript, setLetters, reply)
	return SetAnswer(letter), err
}

// setLetters are the answers of set.
const setLetters = "SOWDX"

func setOrder(key string, e Entry) order {
	return order{setScript, setScript.evalsha(key, []any{
		version(e.Version), millis(e.TTL, 1), e.Soft.Milliseconds(), token(e.CID), e.Body, e.Notice.Channel, e.Notice.Message,
	})}
}

// VersionedAnswer is what became of a [Store.SetVersioned].
type VersionedAnswer byte

const (
	// VersionedStored: the entry replaced an older one.
	VersionedStored VersionedAnswer = 'S'
	// VersionedOlder: what is cached is newer, or the very same entry.
	VersionedOlder VersionedAnswer = 'O'
	// VersionedMissing: nothing was there, and nothing was stored.
	VersionedMissing VersionedAnswer = 'M'
	// VersionedRemoved: a lease, an unversioned record, one that is not fresh, or one
	// of the same version from another source was removed; the next reader loads.
	VersionedRemoved VersionedAnswer = 'D'
	// VersionedWriting: a write is in progress and was told of the conflict.
	VersionedWriting VersionedAnswer = 'W'
	// VersionedBypassed: a write-behind or foreign record stays as it is.
	VersionedBypassed VersionedAnswer = 'X'
)

// SetVersioned replaces a record of a lower version by e. It never creates one:
// after an eviction nobody can say which of two versions is newer. The version
// must come from the database. One round trip; safe to repeat.
func (s *Store) SetVersioned(ctx context.Context, key string, e Entry) (VersionedAnswer, error) {
	letter, err := s.evalLetter(ctx, setvScript, "SOMDWX", key,
		version(e.Version), millis(e.TTL, 1), e.Soft.Milliseconds(), token(e.CID), e.Body, e.Notice.Channel, e.Notice.Message)
	return VersionedAnswer(letter), err
}
