package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// A script on many keys keeps the server from everything else until it is through
// with them, holds their bodies in memory a second time, and may, once it has written,
// go on writing without memory. So it has no more keys than this, and no more bytes of
// bodies unless it has one key.
const (
	chunkKeys  = 64
	chunkBytes = 256 << 10
)

// command is what a batch sends for some of its orders: for one, or on the only node
// of a deployment for several that are the same script's.
type command struct {
	script *script // nil: a plain command
	args   []any
	first  int // number of its first order; the others follow
	count  int
	full   bool  // the script was sent in full
	err    error // of all of it
}

// run sends all and repairs what a server without the script refused. It fails
// only if the pipeline did for all keys alike.
func (c *batchCall) run(ctx context.Context, client redis.UniversalClient) error {
	c.replies, c.errs = make([]any, len(c.orders)), make([]error, len(c.orders))
	cmds := c.plan()
	for range maxRepairs {
		if err := c.exec(ctx, client, cmds); err != nil {
			return err
		}
		if cmds = c.repair(ctx, cmds); len(cmds) == 0 {
			return nil
		}
	}
	return c.exec(ctx, client, cmds)
}

// maxRepairs is for a script on many keys that is not known, then refused, and then
// not known as a script on one key.
const maxRepairs = 3

// plan is the commands for what was not cut out.
func (c *batchCall) plan() []command {
	var cmds []command
	if !c.together() {
		cmds = make([]command, 0, len(c.orders))
	}
	for i := 0; i < len(c.orders); {
		if c.errs[i] = c.gone[i]; c.errs[i] != nil {
			i++
			continue
		}
		n := 1
		if c.together() {
			n = c.alike(i)
		}
		cmds = append(cmds, c.command(i, n))
		i += n
	}
	return cmds
}

// together reports whether a script may have many keys: on several nodes one script
// cannot reach them all, and a proxy may hide several, but not answer INFO then.
func (c *batchCall) together() bool {
	s := c.store
	return s.locate.single() && s.guards.only.redis.holds() && !s.guards.only.apart.holds()
}

// alike is how many orders from the i-th on fit into one command.
func (c *batchCall) alike(i int) int {
	first := c.orders[i]
	if first.script == nil || first.script.many == nil {
		return 1
	}
	n, size := 1, first.size()
	for n < chunkKeys && i+n < len(c.orders) {
		o := c.orders[i+n]
		size += o.size()
		if o.script != first.script || len(o.args) != len(first.args) || c.gone[i+n] != nil || size > chunkBytes {
			break
		}
		n++
	}
	return n
}

// size is how many bytes of bodies the order has.
func (o *order) size() (n int) {
	for _, a := range o.args {
		if body, ok := a.([]byte); ok {
			n += len(body)
		}
	}
	return n
}

// command is that for count orders from the first on.
func (c *batchCall) command(first, count int) command {
	orders := c.orders[first : first+count]
	cmd := command{script: orders[0].script, args: orders[0].args, first: first, count: count}
	if count == 1 {
		return cmd
	}
	cmd.script = cmd.script.many
	cmd.args = make([]any, keyAt, keyAt+count*(len(cmd.args)-keyAt))
	cmd.args[0], cmd.args[1], cmd.args[2] = "evalsha", cmd.script.digest, count
	for _, o := range orders {
		cmd.args = append(cmd.args, o.args[keyAt])
	}
	for _, o := range orders {
		cmd.args = append(cmd.args, o.args[keyAt+1:]...)
	}
	return cmd
}

// once reports whether the client must not send the command twice.
func (c *batchCall) once(cmd *command) bool {
	o := c.orders[cmd.first]
	return o.script != nil && o.script.once
}

// queue puts the command into pipe, and returns where its reply will be.
func (c *batchCall) queue(ctx context.Context, pipe redis.Pipeliner, cmd *command) *redis.Cmd {
	reply := redis.NewCmd(ctx, cmd.args...)
	send := redis.Cmder(reply)
	switch {
	case cmd.script == nil:
		keyed(reply, 1)
	default:
		if route(reply); c.once(cmd) {
			send = noRetry{reply}
		}
	}
	_ = pipe.Process(ctx, send) // queues only
	return reply
}

// exec sends commands and sorts what became of them.
func (c *batchCall) exec(ctx context.Context, client redis.UniversalClient, cmds []command) error {
	pipe := client.Pipeline()
	replies := make([]*redis.Cmd, len(cmds))
	for i := range cmds {
		replies[i] = c.queue(ctx, pipe, &cmds[i])
	}
	_, err := pipe.Exec(ctx)
	failed := 0
	for i := range cmds {
		reply, err := replies[i].Result()
		if err != nil {
			failed++
		}
		if reply != nil || err == redis.Nil { //nolint:errorlint // go-redis returns it bare
			err = nil // a reply that came is a reply: see readCall.failure
		}
		cmds[i].err = err
		c.sort(&cmds[i], reply)
	}
	if err != nil && failed == 0 {
		return err // a hook has sent nothing
	}
	return nil
}

// sort gives each order of cmd what reply has for it.
func (c *batchCall) sort(cmd *command, reply any) {
	replies, errs := c.replies[cmd.first:][:cmd.count], c.errs[cmd.first:][:cmd.count]
	err := cmd.err
	switch {
	case err != nil:
	case cmd.count == 1:
		if replies[0], errs[0] = reply, nil; cmd.script != nil {
			replies[0] = c.store.answerIn(reply)
		}
		return
	case eachIn(reply, replies, errs):
		for i := range replies {
			replies[i] = c.store.answerIn(replies[i])
		}
		return
	default:
		err = &AnswerError{Script: cmd.script.name, Answer: reply}
	}
	for i := range errs {
		replies[i], errs[i] = nil, err
	}
}

// eachIn reads the answers of a script on many keys, and the errors of those that
// have failed.
func eachIn(reply any, replies []any, errs []error) bool {
	list, _ := reply.([]any)
	if len(list) != 2 {
		return false
	}
	answers, ok0 := list[0].([]any)
	failures, ok1 := list[1].([]any)
	if !ok0 || !ok1 || len(answers) != len(replies) || len(failures)%2 != 0 {
		return false
	}
	copy(replies, answers)
	clear(errs)
	for ; len(failures) > 0; failures = failures[2:] {
		i, ok0 := failures[0].(int64)
		text, ok1 := failures[1].(string)
		if !ok0 || !ok1 || i < 1 || i > int64(len(errs)) {
			return false
		}
		errs[i-1] = replyError(text)
	}
	return true
}

// taught is a script that a node will know.
type taught struct {
	node   string
	script *script
}

// repair is what has to be sent again. What was answered NOSCRIPT, and only that: the
// first command of a script for each node is an EVAL, which makes the script known
// there to those behind it in the same pipeline. And key by key, from now on, what
// was not run because of its many keys.
func (c *batchCall) repair(ctx context.Context, cmds []command) (again []command) {
	known := map[taught]bool{}
	for _, cmd := range cmds {
		switch {
		case cmd.err == nil || cmd.script == nil:
		case redis.HasErrorPrefix(cmd.err, "NOSCRIPT") && !cmd.full:
			lesson := taught{c.store.locate.owner(ctx, c.orders[cmd.first].key()), cmd.script}
			if cmd.full = lesson.node == "" || !known[lesson]; cmd.full {
				cmd.args = cmd.script.inFull(cmd.args)
				known[lesson] = true
			}
			again = append(again, cmd)
		case cmd.count > 1 && refusesMany(cmd.err):
			c.store.guards.only.apart.learn()
			for i := range cmd.count {
				again = append(again, c.command(cmd.first+i, 1))
			}
		}
	}
	return again
}

// refusesMany reports whether a server has not run a script because its keys are many:
// it is a node of a cluster after all, or the user may not touch all of them.
func refusesMany(err error) bool {
	return redis.HasErrorPrefix(err, "CROSSSLOT") || redis.HasErrorPrefix(err, "NOPERM")
}
