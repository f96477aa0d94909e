package store

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/commit.lua
	commitLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/release.lua
	releaseLua string

	acquireScript = sentOnce(newKeyScript("acquire", acquireLua))
	commitScript  = newKeyScript("commit", commitLua)
	renewScript   = newKeyScript("renew", renewLua)
	releaseScript = newKeyScript("release", releaseLua)
)

// Answer is what [Store.Acquire] was told.
type Answer byte

const (
	// Granted is a lease where there is no value, or an invalid one.
	Granted Answer = 'G'
	// GrantedOver is a lease to replace the value that was read.
	GrantedOver Answer = 'R'
	// Busy: somebody else is loading, with a lease for Left more.
	Busy Answer = 'B'
	// Held: the record is not the one that was read; Record has it.
	Held Answer = 'H'
	// Writing: a write is in progress, with an intent for Left more.
	Writing Answer = 'W'
	// BackingOff: a load failed, nobody shall try again before Left is over.
	BackingOff Answer = 'E'
	// Foreign: the record is not the cache's, or a newer program's, and stays as it is.
	Foreign Answer = 'X'
)

// answers maps the scripts' spelling.
var answers = map[string]Answer{
	"G": Granted, "GS": GrantedOver, "B": Busy, "H": Held, "W": Writing, "E": BackingOff, "X": Foreign,
}

// Acquire are the arguments of [Store.Acquire].
type Acquire struct {
	// Token names this attempt: a new one each time.
	Token envelope.Token
	// Lease is how long nobody else is granted one, at least 1 ms.
	Lease time.Duration
	// Retain is how long the record of a lease without a value is kept, and with
	// it the right to commit, at least 1 ms.
	Retain time.Duration
	// Seen is the CID of the record that was read; zero: a miss.
	Seen envelope.Token
	// Invalid says that the record with CID Seen is of no use and is replaced
	// by the lease.
	Invalid bool
	// Capture are the tokens that what is loaded will depend on.
	Capture []TokenKey
}

// Grant is the reply of [Store.Acquire].
type Grant struct {
	Answer Answer
	Now    int64            // Redis time in ms when it was decided
	Left   time.Duration    // with Busy, Writing and BackingOff: when to come back
	Record Record           // with Held
	Tokens []envelope.Token // those captured, in the order asked for
}

// Acquire asks for the lease of key, and captures tokens beside it. One round
// trip, per node. The client never sends it twice. After an error the outcome is unknown: the caller releases
// the token, and tries again with another one if at all.
func (s *Store) Acquire(ctx context.Context, key string, a Acquire) (Grant, error) {
	o := acquireOrder(key, a)
	n, sent := s.nodeOf(ctx, key), time.Now()
	if len(a.Capture) == 0 {
		reply, err := s.evalOrder(ctx, o)
		if err != nil {
			return Grant{}, err
		}
		return grantOf(reply, n, sent)
	}
	reply, tokens, err := s.withTokens(ctx, acquireScript.name, o, a.Capture)
	if err != nil {
		return Grant{}, err
	}
	g, err := grantOf(reply, n, sent)
	g.Tokens = tokens
	return g, err
}

func acquireOrder(key string, a Acquire) order {
	seen, invalid := "", "0"
	if a.Seen != (envelope.Token{}) {
		seen = a.Seen.String()
	}
	if a.Invalid {
		invalid = "1"
	}
	return order{acquireScript, acquireScript.evalsha(key, []any{
		token(a.Token), millis(a.Lease, 1), millis(a.Retain, 1), seen, invalid,
	})}
}

// grantOf reads the answer of n to an acquire that was sent at sent, and takes its time.
func grantOf(reply any, n *node, sent time.Time) (Grant, error) {
	if g, ok := parseGrant(reply); ok {
		n.clock.learnMs(g.Now, sent)
		if g.Answer == Held {
			g.Record.clock = n.sample(time.Now())
		}
		return g, nil
	}
	return Grant{}, &AnswerError{Script: acquireScript.name, Answer: reply}
}

// parseGrant reads {answer, now}, {answer, now, ms} or {"H", now, pttl, record}.
func parseGrant(reply any) (g Grant, ok bool) {
	list, _ := reply.([]any)
	if len(list) < 2 {
		return g, false
	}
	letter, _ := list[0].(string)
	if g.Answer, ok = answers[letter]; !ok {
		return g, false
	}
	if g.Now, ok = list[1].(int64); !ok {
		return g, false
	}
	switch g.Answer {
	case Granted, GrantedOver, Foreign:
		return g, len(list) == 2
	}
	if len(list) < 3 {
		return g, false
	}
	ms, ok := list[2].(int64)
	if g.Answer != Held {
		g.Left = time.Duration(ms) * time.Millisecond
		return g, ok && len(list) == 3
	}
	if !ok || len(list) != 4 {
		return g, false
	}
	record, ok := list[3].(string)
	g.Record = Record{Data: []byte(record), PTTL: noTTL}
	if ms >= 0 {
		g.Record.PTTL = time.Duration(ms) * time.Millisecond
	}
	return g, ok
}

// Verdict is what became of a [Commit].
type Verdict int8

const (
	// Refused: the token is not in the record any more, nothing was stored.
	Refused Verdict = 0
	// Committed: the body is stored, or the record removed if the TTL was 0.
	Committed Verdict = 1
	// Older: what is cached is fresh, has a higher version and stays; the lease is over.
	Older Verdict = 2
)

// Commit are the arguments of [Store.Commit].
type Commit struct {
	// Token is that of the acquire; the stored record has it as CID.
	Token envelope.Token
	// TTL is how long the record shall live, rounded down to a millisecond. If
	// nothing is left of it the record is removed instead.
	TTL time.Duration
	// Soft is how much of that it is fresh; below zero: it has been stale for so long.
	Soft time.Duration
	// Version of the value, 0 for none.
	Version uint64
	// Body is sent as it is and not kept.
	Body []byte
	// Absent says that the body is no value; the record's version does not
	// bind it.
	Absent bool
	// Notice is published if a value was replaced or removed.
	Notice Notice
	// Reread are the keys of tokens to be read beside it.
	Reread []string
}

// Commit stores the body if the lease's token is still in the record. One round
// trip, per node. A commit that was sent twice answers Refused though it was
// stored; what is stored is then correct.
//
// The tokens are those under Reread, zero where there is none; they are nil if
// they could not be read, which is no error of the commit.
func (s *Store) Commit(ctx context.Context, key string, c Commit) (Verdict, []envelope.Token, error) {
	o := commitOrder(key, c)
	if len(c.Reread) == 0 {
		reply, err := s.evalOrder(ctx, o)
		if err != nil {
			return Refused, nil, err
		}
		v, err := verdictOf(reply)
		return v, nil, err
	}
	orders := append(make([]order, 0, 1+len(c.Reread)), o)
	for _, token := range c.Reread {
		orders = append(orders, get(token))
	}
	replies, errs, err := s.together(ctx, commitScript.name, orders)
	if err != nil {
		return Refused, nil, err
	}
	if errs[0] != nil {
		return Refused, nil, errs[0]
	}
	v, err := verdictOf(replies[0])
	return v, tokensOf(replies[1:], errs[1:]), err
}

func commitOrder(key string, c Commit) order {
	absent := "0"
	if c.Absent {
		absent = "1"
	}
	return order{commitScript, commitScript.evalsha(key, []any{
		token(c.Token), millis(c.TTL, 0), c.Soft.Milliseconds(), version(c.Version), c.Body, absent,
		c.Notice.Channel, c.Notice.Message,
	})}
}

func verdictOf(reply any) (Verdict, error) {
	n, ok := reply.(int64)
	if !ok || n < 0 || n > 2 {
		return Refused, &AnswerError{Script: commitScript.name, Answer: reply}
	}
	return Verdict(n), nil
}

// Renew prolongs the lease of t, and the record of a lease without a value, and
// reports whether the lease was still t's. One round trip.
func (s *Store) Renew(ctx context.Context, key string, t envelope.Token, lease, retain time.Duration) (bool, error) {
	n, err := s.evalInt(ctx, renewScript, 0, 1, key,
		token(t), millis(lease, 1), millis(retain, 1))
	return n == 1, err
}

// Release gives the lease of t back and reports whether it was still t's. With a
// backoff above zero nobody is granted one before it is over. One round trip.
func (s *Store) Release(ctx context.Context, key string, t envelope.Token, backoff time.Duration) (bool, error) {
	reply, err := s.evalOrder(ctx, releaseOrder(key, t, backoff))
	if err != nil {
		return false, err
	}
	n, ok := reply.(int64)
	if !ok || n < 0 || n > 1 {
		return false, &AnswerError{Script: releaseScript.name, Answer: reply}
	}
	return n == 1, nil
}

func releaseOrder(key string, t envelope.Token, backoff time.Duration) order {
	ms := int64(0)
	if backoff > 0 {
		ms = millis(backoff, 1)
	}
	return order{releaseScript, releaseScript.evalsha(key, []any{token(t), strconv.FormatInt(ms, 10)})}
}
