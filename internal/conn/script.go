package conn

import (
	"context"
	"crypto/sha1" //nolint:gosec // the digest that EVALSHA asks for
	_ "embed"
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/each.lua
var eachLua string

// Script is a Lua text and the digest under which Redis knows it.
type Script struct {
	Name   string
	src    string
	digest any     // a string, boxed once
	once   bool    // must not be repeated by the client after a lost reply
	many   *Script // the same for any number of keys of one node; nil: there is none
}

// NewScript is a script of the given text.
func NewScript(name, src string) *Script {
	sum := sha1.Sum([]byte(src)) //nolint:gosec // see the import
	return &Script{Name: name, src: src, digest: hex.EncodeToString(sum[:])}
}

// Quick is what a script on one key tries first: the function quick(k,a), which does what
// is mostly to be done and answers as one would, or answers nil and has changed nothing.
// The zero value is none.
type Quick struct {
	Prelude string // what of the script's own prelude it needs
	Text    string
}

// NewKeyScript is a script on one key behind a prelude, which one command can run on many
// keys, too. Its text has the function one(k,a), whose arguments are ARGV[a+1] and so on.
//
// On one key quick comes before the prelude, whose functions take as long to make as what
// it calls. On many keys the prelude is there once.
func NewKeyScript(name, prelude, text string, quick Quick) *Script {
	first := "local quick\n"
	opening := ""
	if quick.Text != "" {
		first = quick.Text
		opening = quick.Prelude + quick.Text + "do local answer=quick(KEYS[1],0) if answer then return answer end end\n"
	}
	s := NewScript(name, opening+prelude+text+"return one(KEYS[1],0)\n")
	s.many = NewScript(name, prelude+first+text+eachLua)
	return s
}

// SentOnce marks a script that the client must not repeat after a timeout, because
// the first copy may still run, much later.
func (s *Script) SentOnce() *Script {
	s.once = true
	return s
}

// On is the script on one key.
func (s *Script) On(key string, args ...any) Op {
	all := make([]any, keyAt+1, keyAt+1+len(args))
	all[0], all[1], all[2], all[keyAt] = "evalsha", s.digest, 1, key
	return Op{Script: s, Args: append(all, args...)}
}

// OnKeys is the script on several keys of one slot.
func (s *Script) OnKeys(keys []string, args ...any) Op {
	all := make([]any, keyAt, keyAt+len(keys)+len(args))
	all[0], all[1], all[2] = "evalsha", s.digest, len(keys)
	for _, key := range keys {
		all = append(all, key)
	}
	return Op{Script: s, Args: append(all, args...)}
}

// InFull is o, sent with the whole text: for a script that is rarely used.
func (o Op) InFull() Op {
	o.Args = o.Script.inFull(o.Args)
	return o
}

// inFull returns the command as EVAL. args is left as it is.
func (s *Script) inFull(args []any) []any {
	full := make([]any, len(args))
	copy(full, args)
	full[0], full[1] = "eval", s.src
	return full
}

// noRetry marks a command as one that the client must not send twice.
type noRetry struct{ *redis.Cmd }

func (noRetry) NoRetry() bool { return true }

// keyAt is where the key is in "evalsha", digest, number of keys, key.
const keyAt = 3

// Keyed tells a cluster client where the key is in cmd, and spares it the look-up of the
// command's table. Without a step count it sends COMMAND with a time limit of its own,
// which is 5 s.
func Keyed[C redis.Cmder](cmd C, at int8) C {
	cmd.SetFirstKeyPos(at)
	cmd.SetStepCount(1)
	return cmd
}

// processor is a client, or one connection.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// alone sends o without a pipeline, and a script that the server does not know, after a
// restart, a failover or SCRIPT FLUSH, once more in full.
func (o *Op) alone(ctx context.Context, client processor) error {
	err := o.process(ctx, client, o.Args)
	if err != nil && o.Script != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = o.process(ctx, client, o.Script.inFull(o.Args))
	}
	return err
}

func (o *Op) process(ctx context.Context, client processor, args []any) (err error) {
	cmd := o.command(ctx, args)
	if o.once() {
		err = client.Process(ctx, noRetry{cmd})
	} else {
		err = client.Process(ctx, cmd)
	}
	if err == redis.Nil { //nolint:errorlint // go-redis returns it bare
		return nil
	}
	if err != nil {
		return err
	}
	o.reply, err = cmd.Result()
	return err
}

// command is args as a command about o's key.
func (o *Op) command(ctx context.Context, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, args...)
	if o.Script != nil {
		return Keyed(cmd, keyAt)
	}
	return Keyed(cmd, 1)
}

// once reports whether the client must not send the command twice.
func (o *Op) once() bool { return o.Script != nil && o.Script.once }
