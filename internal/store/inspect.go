package store

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/inspect.lua
	inspectLua string

	// inspectScript has acquire's own text as a function, with a redis that does
	// not write: what acquire would answer is never a second opinion.
	inspectScript = newScript("inspect", "local function acquire(redis,ARGV)\n"+acquireLua+"return one(KEYS[1],0)\nend\n"+inspectLua)
)

// Inspect are the arguments of [Store.Inspect].
type Inspect struct {
	// Behind is the partition of the key, nil without write-behind; Name the key in it.
	Behind *Partition
	Name   string
	// Tokens are the keys of tokens to read beside it.
	Tokens []string
	// Meta is where the meta record is, "" if nobody wants to know.
	Meta string
}

// Inspection is what Redis has of a key at one moment.
type Inspection struct {
	Record Record
	// Now is the time of the key's node in ms.
	Now int64
	// Acquire is what an [Store.Acquire] would be told that has seen this record,
	// Invalid what it would be told had it found the record invalid.
	Acquire, Invalid Foreseen
	// Dirty is since when the sink lacks the key's value, in ms, Letter the version of a dead
	// letter; 0: none.
	Dirty  int64
	Letter uint64
	// Tokens are those asked for, zero where there is none.
	Tokens []envelope.Token
	// Meta is the meta record, "" if there is none.
	Meta string
}

// Foreseen is an answer that acquire would give, and its Left.
type Foreseen struct {
	Answer Answer
	Left   time.Duration
}

// Inspect reads what there is to know of a key and changes nothing, not even a
// TTL. It is a script that is sent in full, so that no server asks for it a second time.
// Errors are those of a Read.
func (s *Store) Inspect(ctx context.Context, key string, i Inspect) (Inspection, error) {
	keys := []string{key}
	if i.Behind != nil {
		keys = append(keys, i.Behind.Dirty, i.Behind.letter(i.Name))
	}
	ops := conn.NewOps(inspectScript.Name, 2+len(i.Tokens))
	ops.Add(inspectScript.OnKeys(keys, i.Name).InFull())
	for _, token := range i.Tokens {
		ops.Add(conn.Get(token))
	}
	if i.Meta != "" {
		ops.Add(conn.Get(i.Meta))
	}
	n, sent := s.conn.NodeOf(ctx, key), time.Now()
	s.conn.Do(ctx, ops)
	if err := ops.Err(); err != nil {
		return Inspection{}, err
	}
	reply, _ := ops.Reply(0)
	found, ok := inspectionOf(reply)
	if !ok {
		return Inspection{}, &conn.AnswerError{Script: inspectScript.Name, Answer: reply}
	}
	n.Told(found.Now, sent)
	found.Record.Clock = n.Sample(time.Now())
	found.Tokens = tokensIn(ops, 1, len(i.Tokens))
	if i.Meta != "" {
		reply, _ := ops.Reply(1 + len(i.Tokens))
		found.Meta, _ = reply.(string)
	}
	return found, nil
}

// inspectionOf reads the script's answer.
func inspectionOf(reply any) (i Inspection, ok bool) {
	list, _ := reply.([]any)
	if len(list) != 7 {
		return i, false
	}
	pttl, ok := list[0].(int64)
	var text [6]string
	for k := range text {
		var is bool
		text[k], is = list[1+k].(string)
		ok = ok && is
	}
	i.Record = recordOf(text[0], pttl)
	i.Record.Foreign = text[1] == "1"
	var ok0, ok1 bool
	i.Acquire, i.Now, ok0 = foreseenIn(text[2])
	i.Invalid, _, ok1 = foreseenIn(text[3])
	if since := scoreTime(text[4]); !since.IsZero() {
		i.Dirty = since.UnixMilli()
	}
	i.Letter, _ = strconv.ParseUint(text[5], 16, 64)
	return i, ok && ok0 && ok1
}

func foreseenIn(text string) (Foreseen, int64, bool) {
	g, ok := parseAnswer(text)
	return Foreseen{Answer: g.Answer, Left: g.Left}, g.Now, ok
}
