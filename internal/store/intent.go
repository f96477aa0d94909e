package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/wbegin.lua
	wbeginLua string
	//go:embed lua/wend.lua
	wendLua string

	wbeginScript = sentOnce(newScript("wbegin", wbeginLua))
	wendScript   = newScript("wend", wendLua)
)

// What [Store.BeginWrite] returns instead of a number of intents.
const (
	// IntentDirty: a write-behind record is there and stays; there is no intent.
	IntentDirty = -1
	// IntentForeign: the record is not the cache's, or a newer program's; there is no
	// intent. EndWrite removes a newer program's nevertheless.
	IntentForeign = -2
)

// BeginWrite announces a write of what key caches: whatever is cached goes, and
// readers load without storing until the last intent has ended or its time, at
// least 1 ms, is over. It returns the number of open intents, this one included,
// or IntentDirty or IntentForeign, and the tokens under capture, in their order. n is
// published if there is an intent. One round trip, per node; the client never sends it
// twice, and the token of an attempt that failed must not be used again but to end it.
func (s *Store) BeginWrite(
	ctx context.Context, key string, t envelope.Token, intent time.Duration, n Notice, capture ...TokenKey,
) (int, []envelope.Token, error) {
	o := order{wbeginScript, wbeginScript.evalsha(key, []any{token(t), millis(intent, 1), n.Channel, n.Message})}
	var reply any
	var tokens []envelope.Token
	var err error
	if len(capture) == 0 {
		reply, err = s.evalOrder(ctx, o)
	} else {
		reply, tokens, err = s.withTokens(ctx, wbeginScript.name, o, capture)
	}
	if err != nil {
		return 0, nil, err
	}
	open, ok := reply.(int64)
	if !ok || open < IntentForeign || open == 0 || open > maxIntents {
		return 0, nil, &AnswerError{Script: wbeginScript.name, Answer: reply}
	}
	return int(open), tokens, nil
}

// maxIntents is more than a record can hold: 512 MB of tokens.
const maxIntents = 1 << 25

// EndWrite are the arguments of [Store.EndWrite].
type EndWrite struct {
	// Token is that of BeginWrite; a stored record has it as CID.
	Token envelope.Token
	// TTL is how long a stored record shall live, rounded down to a
	// millisecond. If nothing is left of it nothing is stored.
	TTL time.Duration
	// Soft is how much of that it is fresh.
	Soft time.Duration
	// Version of the value, 0 for none.
	Version uint64
	// Body is the new value; nil or empty stores nothing. Not kept.
	Body []byte
	// Notice is published unless the record is foreign.
	Notice Notice
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

// EndWrite ends what BeginWrite began, after the write has succeeded or failed.
// One round trip. Repeating it empties the key, which is safe.
func (s *Store) EndWrite(ctx context.Context, key string, e EndWrite) (EndAnswer, error) {
	letter, err := s.evalLetter(ctx, wendScript, "SDKLX", key, endArgs(e)...)
	return EndAnswer(letter), err
}

// EndWriteMany is EndWrite for several intents; ends[i] is about keys[i], and a key
// may be there more than once. The errors are aligned.
func (s *Store) EndWriteMany(ctx context.Context, keys []string, ends []EndWrite) []error {
	orders := make([]order, len(keys))
	for i, key := range keys {
		orders[i] = order{wendScript, wendScript.evalsha(key, endArgs(ends[i]))}
	}
	_, errs := s.eachOf(ctx, wendScript.name, orders)
	return errs
}

func endArgs(e EndWrite) []any {
	if e.TTL < time.Millisecond {
		e.Body = nil
	}
	return []any{token(e.Token), millis(e.TTL, 1), e.Soft.Milliseconds(), version(e.Version), e.Body, e.Notice.Channel, e.Notice.Message}
}
