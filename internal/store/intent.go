package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/wbegin.lua
	wbeginLua string
	//go:embed lua/wend.lua
	wendLua string

	wbeginScript = newKeyScript("wbegin", wbeginLua).SentOnce()
	wendScript   = newKeyScript("wend", wendLua)
)

// What an [Intent] has instead of a number of intents.
const (
	// IntentDirty: a write-behind record is there and stays; there is no intent.
	IntentDirty = -1
	// IntentForeign: the record is not the cache's, or a newer program's; there is no
	// intent. EndWrite removes a newer program's nevertheless.
	IntentForeign = -2
)

// Intent announces a write of what a key caches.
type Intent struct {
	Key string
	// Token names this attempt. After Err it must not be used again but to end it.
	Token envelope.Token
	// Notice is published if there is an intent.
	Notice Notice

	// Open is the number of open intents, this one included, or IntentDirty or
	// IntentForeign; unless there is Err.
	Open int
	Err  error
}

// maxIntents is more than a record can hold: 512 MB of tokens.
const maxIntents = 1 << 25

// BeginWrite opens intents: whatever is cached goes, and readers load without storing
// until the last intent of the key has ended or its time, life, at least 1 ms, is over.
// The tokens under capture are in their order; if they could not be captured all intents
// have Err. The client never sends it twice.
func (s *Store) BeginWrite(
	ctx context.Context, intents []Intent, life time.Duration, capture []TokenKey,
) (tokens []envelope.Token) {
	ops := conn.NewOps(wbeginScript.Name, len(intents)+len(capture))
	for i := range intents {
		w := &intents[i]
		ops.Add(wbeginScript.On(w.Key, token(w.Token), millis(life, 1), w.Notice.Channel, w.Notice.Message))
	}
	for _, k := range capture {
		ops.Add(mint(k, false, Notice{}))
	}
	s.conn.Do(ctx, ops)
	tokens, missed := s.minted(ops, len(intents), len(capture))
	for i := range intents {
		open, err := s.number(wbeginScript, ops, i, IntentForeign, maxIntents)
		if err == nil && open == 0 {
			err = &conn.AnswerError{Script: wbeginScript.Name, Answer: open}
		}
		if intents[i].Open, intents[i].Err = int(open), err; err == nil {
			intents[i].Err = missed
		}
	}
	return tokens
}

// EndWrite ends what an [Intent] began, after the write has succeeded or failed.
type EndWrite struct {
	Key string
	// Token is that of the intent; a stored record has it as CID.
	Token envelope.Token
	// TTL is how long a stored record shall live, rounded down to a
	// millisecond. If nothing is left of it nothing is stored.
	TTL time.Duration
	// Soft is how much of that it is fresh.
	Soft time.Duration
	// Version of the value, 0 for none.
	Version uint64
	// Record is room for the header, which is written to it, and the new body; nil stores
	// nothing. Not kept.
	Record []byte
	// Notice is published unless the record is foreign.
	Notice Notice

	// Answer is what became of it, unless there is Err.
	Answer EndAnswer
	Err    error
}

// EndAnswer is what became of an [EndWrite].
type EndAnswer byte

const (
	// EndStored: no other write overlapped and the body is cached.
	EndStored EndAnswer = 'S'
	// EndRemoved: nothing is cached.
	EndRemoved EndAnswer = 'D'
	// EndOpen: other intents are open; the last of them removes the record.
	EndOpen EndAnswer = 'K'
	// EndLost: the intent was gone, nothing of this write is cached.
	EndLost EndAnswer = 'L'
	// EndForeign: the record is not the cache's and stays as it is.
	EndForeign EndAnswer = 'X'
)

// EndWrite ends intents; a key may be there more than once. Repeating it empties the key,
// which is safe.
func (s *Store) EndWrite(ctx context.Context, ends []EndWrite) {
	ops := conn.NewOps(wendScript.Name, len(ends))
	for i := range ends {
		e := &ends[i]
		var record []byte
		if e.Record != nil && e.TTL >= time.Millisecond {
			record = headed(e.Record, e.Token, e.Version)
		}
		ops.Add(wendScript.On(e.Key, token(e.Token), millis(e.TTL, 1), e.Soft.Milliseconds(), record,
			e.Notice.Channel, e.Notice.Message))
	}
	s.conn.Do(ctx, ops)
	for i := range ends {
		letter, err := s.letter(wendScript, ops, i, "SDKLX")
		ends[i].Answer, ends[i].Err = EndAnswer(letter), err
	}
}
