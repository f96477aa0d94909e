package store

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

// This file has the operations of a load, from the lease to the commit.

var (
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/acquire_quick.lua
	acquireQuickLua string
	//go:embed lua/commit.lua
	commitLua string
	//go:embed lua/commit_quick.lua
	commitQuickLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/release.lua
	releaseLua string

	acquireScript = conn.NewKeyScript("acquire", prelude, acquireLua, conn.Quick{Prelude: clockLua, Text: acquireQuickLua}).SentOnce()
	commitScript  = conn.NewKeyScript("commit", prelude, commitLua, conn.Quick{Text: commitQuickLua})
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

// Acquire asks for the lease of one key.
type Acquire struct {
	Key string
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

	// Grant is the answer, unless there is Err: then the outcome is unknown, and the
	// caller releases the token, and tries again with another one if at all.
	Grant Grant
	Err   error
}

// Grant is the answer to an [Acquire].
type Grant struct {
	Answer Answer
	Now    int64         // Redis time in ms when it was decided
	Left   time.Duration // with Busy, Writing and BackingOff: when to come back
	Record Record        // with Held
}

// Acquire asks for leases, and captures the tokens beside them that what is loaded will
// depend on: they are in the order of capture. If they could not be captured all have
// failed. The client never sends it twice.
func (s *Store) Acquire(ctx context.Context, asks []Acquire, capture []TokenKey) (tokens []envelope.Token) {
	sent := time.Now()
	ops := conn.NewOps(acquireScript.Name, len(asks)+len(capture))
	var times leaseTimes
	for i := range asks {
		ops.Add(asks[i].op(&times))
	}
	for _, k := range capture {
		ops.Add(mint(k, false, Notice{}))
	}
	s.conn.Do(ctx, ops)
	tokens, missed := s.minted(ops, len(asks), len(capture))
	for i := range asks {
		a := &asks[i]
		reply, err := ops.Reply(i)
		if err == nil {
			a.Grant, err = grantOf(reply, s.conn.NodeOf(ctx, a.Key), sent)
		}
		if a.Err = err; err == nil {
			a.Err = missed
		}
	}
	return tokens
}

// leaseTimes are the times of a lease as arguments, which are mostly the same for all.
type leaseTimes struct {
	lease, retain time.Duration
	args          [2]any
}

func (t *leaseTimes) of(a *Acquire) [2]any {
	if t.args[0] == nil || t.lease != a.Lease || t.retain != a.Retain {
		*t = leaseTimes{a.Lease, a.Retain, [2]any{millis(a.Lease, 1), millis(a.Retain, 1)}}
	}
	return t.args
}

func (a *Acquire) op(times *leaseTimes) conn.Op {
	seen, invalid := "", "0"
	if a.Seen != (envelope.Token{}) {
		seen = a.Seen.String()
	}
	if a.Invalid {
		invalid = "1"
	}
	t := times.of(a)
	return acquireScript.On(a.Key, token(a.Token), t[0], t[1], seen, invalid)
}

// grantOf reads the answer of n to an acquire that was sent at sent, and takes its time.
func grantOf(reply any, n *conn.Node, sent time.Time) (Grant, error) {
	if g, ok := parseGrant(reply); ok {
		n.Told(g.Now, sent)
		if g.Answer == Held {
			g.Record.Clock = n.Sample(time.Now())
		}
		return g, nil
	}
	return Grant{}, &conn.AnswerError{Script: acquireScript.Name, Answer: reply}
}

// parseGrant reads an answer, or {answer, pttl, record} of a record that has changed.
func parseGrant(reply any) (g Grant, ok bool) {
	if text, is := reply.(string); is {
		g, ok = parseAnswer(text)
		return g, ok && g.Answer != Held
	}
	list, _ := reply.([]any)
	if len(list) != 3 {
		return g, false
	}
	text, ok0 := list[0].(string)
	ms, ok1 := list[1].(int64)
	record, ok2 := list[2].(string)
	g, ok = parseAnswer(text)
	g.Record = recordOf(record, ms)
	return g, ok && ok0 && ok1 && ok2 && g.Answer == Held
}

// timeDigits is how many digits of an answer are the time.
const timeDigits = 13

// parseAnswer reads a letter, the time, and how long the asker shall wait.
func parseAnswer(text string) (g Grant, ok bool) {
	if len(text) < 1+timeDigits {
		return g, false
	}
	g.Answer = Answer(text[0])
	g.Now, ok = milliseconds(text[1 : 1+timeDigits])
	left := text[1+timeDigits:]
	switch g.Answer {
	case Granted, GrantedOver, Foreign, Held:
		return g, ok && left == ""
	case Busy, Writing, BackingOff:
		ms, known := milliseconds(left)
		g.Left = time.Duration(ms) * time.Millisecond
		return g, ok && known
	}
	return g, false
}

func milliseconds(text string) (int64, bool) {
	ms, err := strconv.ParseInt(text, 10, 64)
	return ms, err == nil
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

// Commit stores what was loaded under one lease.
type Commit struct {
	Key string
	// Token is that of the acquire; the stored record has it as CID.
	Token envelope.Token
	// TTL is how long the record shall live, rounded down to a millisecond. If
	// nothing is left of it the record is removed instead.
	TTL time.Duration
	// Soft is how much of that it is fresh; below zero: it has been stale for so long.
	Soft time.Duration
	// Version of the value, 0 for none.
	Version uint64
	// Record is room for the header, which is written to it, and the body. Not kept.
	Record []byte
	// Absent says that the body is no value; the record's version does not
	// bind it.
	Absent bool
	// Notice is published if a value was replaced or removed.
	Notice Notice
	// Until is the deadline of a lease that was granted where there was no value, and Now the
	// earliest that it can be there: in ms of Redis time, both or none. If the lease was not
	// renewed the script has less to do with them.
	Until, Now int64

	// Verdict is what became of it, unless there is Err.
	Verdict Verdict
	Err     error
}

// Commit stores each body if its lease's token is still in the record. One that was sent
// twice answers Refused though it was stored; what is stored is then correct.
//
// The tokens are those under reread, read behind it, zero where there is none; they are
// nil if they could not be read, which is no error of the commits.
func (s *Store) Commit(ctx context.Context, commits []Commit, reread []string) (tokens []envelope.Token) {
	ops := conn.NewOps(commitScript.Name, len(commits)+len(reread))
	for i := range commits {
		ops.Add(commits[i].op())
	}
	for _, key := range reread {
		ops.Add(conn.Get(key))
	}
	s.conn.Do(ctx, ops)
	for i := range commits {
		n, err := s.number(commitScript, ops, i, 0, 2)
		commits[i].Verdict, commits[i].Err = Verdict(n), err
	}
	return tokensIn(ops, len(commits), len(reread))
}

func (c *Commit) op() conn.Op {
	var record []byte
	end := int64(0)
	if c.TTL >= time.Millisecond {
		fresh := int64(0)
		if c.Until > 0 {
			fresh = max(c.Now+c.Soft.Milliseconds(), 2)
			fresh -= fresh % 2 // an odd one is Expire's
			end = c.Now + c.TTL.Milliseconds()
		}
		record = headedUntil(c.Record, c.Token, c.Version, fresh)
	}
	return commitScript.On(c.Key, c.terms(end), record, c.Notice.Channel, c.Notice.Message)
}

// terms are what the script has to know beside the record, which ends then, or its TTL
// from now on if that is 0.
func (c *Commit) terms(end int64) string {
	var room [2 * envelope.HeaderSize]byte
	t := envelope.AppendHeader(room[:0], envelope.Header{Kind: envelope.Lease, Until: c.Until, Token: c.Token})
	t = envelope.AppendTime(t, end)
	t = append(strconv.AppendInt(t, millis(c.TTL, 0), 10), ' ')
	t = append(strconv.AppendInt(t, c.Soft.Milliseconds(), 10), ' ')
	if !c.Absent {
		t = envelope.AppendVersion(t, c.Version)
	}
	return string(t)
}

// Lease is one that a load holds.
type Lease struct {
	Key   string
	Token envelope.Token

	// Held is whether it was still the token's, unless there is Err.
	Held bool
	Err  error
}

// Renew prolongs leases, and the records of those without a value.
func (s *Store) Renew(ctx context.Context, leases []Lease, lease, retain time.Duration) {
	ops := conn.NewOps(renewScript.Name, len(leases))
	for _, l := range leases {
		ops.Add(renewScript.On(l.Key, token(l.Token), millis(lease, 1), millis(retain, 1)))
	}
	s.held(ctx, renewScript, ops, leases)
}

// Release gives leases back. With a backoff above zero nobody is granted one before it is
// over.
func (s *Store) Release(ctx context.Context, leases []Lease, backoff time.Duration) {
	ms := int64(0)
	if backoff > 0 {
		ms = millis(backoff, 1)
	}
	ops := conn.NewOps(releaseScript.Name, len(leases))
	for _, l := range leases {
		ops.Add(releaseScript.On(l.Key, token(l.Token), ms))
	}
	s.held(ctx, releaseScript, ops, leases)
}

// held sends ops, and notes which of the leases were held.
func (s *Store) held(ctx context.Context, sc *conn.Script, ops *conn.Ops, leases []Lease) {
	s.conn.Do(ctx, ops)
	for i := range leases {
		n, err := s.number(sc, ops, i, 0, 1)
		leases[i].Held, leases[i].Err = n == 1, err
	}
}
