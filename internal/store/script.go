package store

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the digest that EVALSHA asks for
	_ "embed"
	"encoding/hex"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/head.lua
	headLua string // before all scripts
	//go:embed lua/each.lua
	eachLua string
)

// script is a Lua text and the digest under which Redis knows it.
type script struct {
	name   string
	src    string
	digest string
	once   bool    // must not be repeated by the client after a lost reply
	many   *script // the same for any number of keys of one node; nil: there is none
}

func newScript(name, text string) *script {
	s := &script{name: name, src: headLua + text}
	sum := sha1.Sum([]byte(s.src)) //nolint:gosec // see the import
	s.digest = hex.EncodeToString(sum[:])
	return s
}

// newKeyScript is a script on one key, which one command can run on many keys, too:
// there that very text is a function.
func newKeyScript(name, text string) *script {
	s := newScript(name, text)
	s.many = newScript(name, "local function one(KEYS,ARGV)\n"+text+"end\n"+eachLua)
	return s
}

// noRetry marks a command as one that the client must not send twice.
type noRetry struct{ *redis.Cmd }

func (noRetry) NoRetry() bool { return true }

// scriptCall is one script on one key. args is the whole command.
type scriptCall struct {
	script *script
	args   []any
	reply  any
}

// keyAt is where the key is in "evalsha", digest, number of keys, key.
const keyAt = 3

func (c *scriptCall) name() string { return c.script.name }

func (c *scriptCall) keyOf() string { return c.args[keyAt].(string) }

// own copies the bodies. Strings need none.
func (c *scriptCall) own() {
	for i, a := range c.args {
		if b, ok := a.([]byte); ok {
			c.args[i] = bytes.Clone(b)
		}
	}
}

// run sends EVALSHA, and EVAL if the server does not know the digest: after a
// restart, a failover or SCRIPT FLUSH, and then once.
func (c *scriptCall) run(ctx context.Context, client redis.UniversalClient) error {
	return c.runOn(ctx, client)
}

// processor is a client, or one connection.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

func (c *scriptCall) runOn(ctx context.Context, client processor) error {
	err := c.process(ctx, client, c.args)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = c.process(ctx, client, c.script.inFull(c.args))
	}
	return err
}

func (c *scriptCall) process(ctx context.Context, client processor, args []any) (err error) {
	cmd := redis.NewCmd(ctx, args...)
	route(cmd)
	if c.script.once {
		err = client.Process(ctx, noRetry{cmd})
	} else {
		err = client.Process(ctx, cmd)
	}
	if err != nil {
		return err
	}
	c.reply, err = cmd.Result()
	return err
}

// route spares a cluster client the look-up of the command's table. Without a
// step count it sends COMMAND with a time limit of its own, which is 5 s.
func route(cmd *redis.Cmd) {
	cmd.SetFirstKeyPos(keyAt)
	cmd.SetStepCount(1)
}

// inFull returns the command as EVAL. args is left as it is.
func (s *script) inFull(args []any) []any {
	full := make([]any, len(args))
	copy(full, args)
	full[0], full[1] = "eval", s.src
	return full
}

// evalsha is the whole command that runs s on key.
func (s *script) evalsha(key string, args []any) []any {
	all := make([]any, keyAt+1, keyAt+1+len(args))
	all[0], all[1], all[2], all[keyAt] = "evalsha", s.digest, 1, key
	return append(all, args...)
}

// eval runs sc on key and returns its answer.
func (s *Store) eval(ctx context.Context, sc *script, key string, args ...any) (any, error) {
	return s.evalOrder(ctx, order{sc, sc.evalsha(key, args)})
}

// evalOrder runs a script alone and returns its answer.
func (s *Store) evalOrder(ctx context.Context, o order) (any, error) {
	c := &scriptCall{script: o.script, args: o.args}
	if err := s.send(ctx, s.scripts, c); err != nil {
		return nil, err
	}
	return s.answerIn(c.reply), nil
}

// evalInt is eval for scripts that answer a number between lo and hi.
func (s *Store) evalInt(ctx context.Context, sc *script, lo, hi int64, key string, args ...any) (int64, error) {
	reply, err := s.eval(ctx, sc, key, args...)
	if err != nil {
		return 0, err
	}
	n, ok := reply.(int64)
	if !ok || n < lo || n > hi {
		return 0, &AnswerError{Script: sc.name, Answer: reply}
	}
	return n, nil
}

// evalLetter is eval for scripts that answer one of letters.
func (s *Store) evalLetter(ctx context.Context, sc *script, letters, key string, args ...any) (byte, error) {
	reply, err := s.eval(ctx, sc, key, args...)
	if err != nil {
		return 0, err
	}
	return oneOf(sc, letters, reply)
}

// oneOf is an answer of sc that is one of letters.
func oneOf(sc *script, letters string, reply any) (byte, error) {
	if text, ok := reply.(string); ok && len(text) == 1 && strings.Contains(letters, text) {
		return text[0], nil
	}
	return 0, &AnswerError{Script: sc.name, Answer: reply}
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
