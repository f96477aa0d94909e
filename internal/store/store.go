package store

import (
	"context"
	_ "embed"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

// Options configure a [Store]. The zero value is ready for use.
type Options struct {
	// Logger hears of what has no caller to return to: that Close left commands behind,
	// or that the client is none for this server. Nil discards.
	Logger *slog.Logger
	// ReadBudget bounds Read; zero or less means 100 ms.
	ReadBudget time.Duration
	// ScriptBudget bounds all other operations; zero or less means 150 ms.
	ScriptBudget time.Duration
	// Unpublished is called when a change was made and the message about it was not
	// published, with the code of the server's error (NOPERM): on the goroutine of an
	// operation, under no lock, and once an hour at most, however often that happens.
	Unpublished func(code string)
	// Breaker is called when a breaker of the client opens, while all were closed,
	// and when all are closed again: on the goroutine of an operation, under no lock.
	Breaker func(open bool)
}

// Store sends the protocol's commands to one Redis deployment. All methods are
// safe for concurrent use. Make it with [New].
type Store struct {
	conn    *conn.Client
	silence silence
}

// New wraps client, which stays the caller's to close. It sends nothing.
func New(client redis.UniversalClient, o Options) *Store {
	s := &Store{conn: conn.New(client, conn.Options{
		Logger: o.Logger, ReadBudget: o.ReadBudget, ScriptBudget: o.ScriptBudget, Breaker: o.Breaker,
	})}
	s.silence.tell = o.Unpublished
	return s
}

// Inline reports whether commands run on the caller's goroutine. It is false for
// a client that would keep a caller beyond its deadline.
func (s *Store) Inline() bool { return s.conn.Inline() }

// Warnings names, in sentences for a log, the settings of the client that cost
// goroutines, delay recovery after a failover, or void the promise that nobody
// is served what was invalidated before. Empty for a client set up well.
func (s *Store) Warnings() []string { return s.conn.Warnings() }

// Open reports whether a breaker of the client is not closed.
func (s *Store) Open() bool { return s.conn.Open() }

// Budget is how long an operation that is no read may take.
func (s *Store) Budget() time.Duration { return s.conn.Budget() }

// Peer returns host and port of the node that serves key, for telemetry: see
// [conn.Client.Peer].
func (s *Store) Peer(ctx context.Context, key string) (host string, port int) {
	return s.conn.Peer(ctx, key)
}

// CheckDurability asks each primary whether it may hold the only copy of a write: see
// [conn.Client.CheckDurability].
func (s *Store) CheckDurability(ctx context.Context) error { return s.conn.CheckDurability(ctx) }

// Close refuses operations from now on and waits for the goroutines that still hold a
// command of a caller who left: see [conn.Client.Close].
func (s *Store) Close() error { return s.conn.Close() }

// Earliest is the earliest that it can be now for the node that has key, in ms; 0 if that
// is not known. It sends nothing.
func (s *Store) Earliest(ctx context.Context, key string) int64 {
	return s.conn.NodeOf(ctx, key).Earliest()
}

// Now is about what time it is for the node that has key, in ms; 0 if that is not known.
// It sends nothing. What is left of a record is for [Left] to say.
func (s *Store) Now(ctx context.Context, key string) int64 {
	return s.conn.NodeOf(ctx, key).Latest()
}

var (
	//go:embed lua/clock.lua
	clockLua string
	//go:embed lua/head.lua
	headLua string

	prelude = clockLua + headLua // before all scripts
)

func newScript(name, text string) *conn.Script { return conn.NewScript(name, prelude+text) }

// newKeyScript is a script on one key, which one command can run on many keys, too.
func newKeyScript(name, text string) *conn.Script {
	return conn.NewKeyScript(name, prelude, text, conn.Quick{})
}

// Refused names what the server of key has refused within the last minute, and is done
// without. It sends nothing.
func (s *Store) Refused(ctx context.Context, key string) []string {
	return s.conn.NodeOf(ctx, key).Refuses()
}

// reply is what became of the i-th of ops that were sent: all of what a script has
// answered, or the first of {answer, why} if its message was not published. Each is to be
// asked for once: these are counted.
func (s *Store) reply(ops *conn.Ops, i int) (any, error) {
	reply, err := ops.Reply(i)
	if err != nil {
		return nil, err
	}
	if pair, _ := reply.([]any); len(pair) == 2 {
		if why, ok := pair[1].(string); ok {
			ops.NodeOf(context.Background(), i).Learn(conn.NoPublish)
			s.silence.missed(why)
			return pair[0], nil
		}
	}
	return reply, nil
}

// number is the i-th reply of a script that answers a number between lo and hi.
func (s *Store) number(sc *conn.Script, ops *conn.Ops, i int, lo, hi int64) (int64, error) {
	reply, err := s.reply(ops, i)
	if err != nil {
		return 0, err
	}
	n, ok := reply.(int64)
	if !ok || n < lo || n > hi {
		return 0, &conn.AnswerError{Script: sc.Name, Answer: reply}
	}
	return n, nil
}

// letter is the i-th reply of a script that answers one of letters.
func (s *Store) letter(sc *conn.Script, ops *conn.Ops, i int, letters string) (byte, error) {
	reply, err := s.reply(ops, i)
	if err != nil {
		return 0, err
	}
	if text, ok := reply.(string); ok && len(text) == 1 && strings.Contains(letters, text) {
		return text[0], nil
	}
	return 0, &conn.AnswerError{Script: sc.Name, Answer: reply}
}

// headed is rec with the header of a value in its first bytes: one argument, which the
// script need not copy to put a header before it. The script stamps until when it is fresh.
func headed(rec []byte, cid envelope.Token, version uint64) []byte {
	return headedUntil(rec, cid, version, 0)
}

// headedUntil is headed by who knows until when it is fresh.
func headedUntil(rec []byte, cid envelope.Token, version uint64, fresh int64) []byte {
	envelope.AppendHeader(rec[:0], envelope.Header{Kind: envelope.Value, Fresh: fresh, CID: cid, Version: version})
	return rec
}

// millis is d in whole milliseconds, rounded down but at least least.
func millis(d time.Duration, least int64) int64 { return max(d.Milliseconds(), least) }

// version is v as the header spells it.
func version(v uint64) string {
	if v == 0 {
		return "0000000000000000"
	}
	return string(envelope.AppendVersion(nil, v))
}

// token is t as the header spells it; nobody's if it is zero.
func token(t envelope.Token) string {
	if t == (envelope.Token{}) {
		return envelope.NoToken.String()
	}
	return t.String()
}
