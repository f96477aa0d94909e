package store

import (
	"bytes"
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// evalMany runs sc on each key, with the arguments that args gives it, in one
// pipeline. The scripts answer a number between lo and hi.
func evalMany[A ~int8](
	ctx context.Context, s *Store, sc *script, lo, hi int64, keys []string, args func(i int) []any,
) ([]A, []error) {
	if len(keys) == 0 {
		return nil, nil
	}
	start := time.Now()
	orders := make([]order, len(keys))
	for i, key := range keys {
		orders[i] = order{script: sc, args: sc.evalsha(key, args(i))}
	}
	c := &batchCall{label: sc.name, owner: s.locate.owner, orders: orders}
	answers, errs := make([]A, len(keys)), make([]error, len(keys))
	if err := s.send(ctx, s.scripts, c); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return answers, errs
	}
	explainAll(ctx, start, s.scripts, sc.name, c.errs)
	failed := false
	for i := range keys {
		if errs[i] = c.errs[i]; errs[i] == nil {
			n, ok := c.replies[i].(int64)
			if !ok || n < lo || n > hi {
				errs[i] = &AnswerError{Script: sc.name, Answer: c.replies[i]}
			}
			answers[i] = A(n)
		}
		failed = failed || errs[i] != nil
	}
	if !failed {
		errs = nil
	}
	return answers, errs
}

// order is one command of a batch: a script, or with a nil script a plain command
// whose key is its first argument.
type order struct {
	script *script
	args   []any // the whole command
}

// get orders the string under key: its reply is nil where there is none.
func get(key string) order { return order{args: []any{"get", key}} }

// key is what the order is about; "" if that is the node itself.
func (o *order) key() string {
	if o.script == nil && len(o.args) == 1 {
		return ""
	}
	if o.script == nil {
		return o.args[1].(string)
	}
	return o.args[keyAt].(string)
}

// command is the order as go-redis sends it, and where its reply will be.
func (o *order) command(ctx context.Context, args []any) (send redis.Cmder, reply *redis.Cmd) {
	cmd := redis.NewCmd(ctx, args...)
	if o.script == nil {
		return keyed(cmd, 1), cmd
	}
	route(cmd)
	if o.script.once {
		return noRetry{cmd}, cmd
	}
	return cmd, cmd
}

// batchCall is several commands in one pipeline. A script that must not be sent
// twice keeps the client from repeating any of them.
type batchCall struct {
	label   string
	owner   func(ctx context.Context, key string) string
	orders  []order
	replies []any
	errs    []error
	gone    map[int]error // of orders that were cut out
}

func (c *batchCall) size() int { return len(c.orders) }

func (c *batchCall) keyAt(i int) string { return c.orders[i].key() }

func (c *batchCall) cut(i int, err error) {
	if c.gone == nil {
		c.gone = map[int]error{}
	}
	c.gone[i] = err
}

func (c *batchCall) outcome(i int) error { return c.errs[i] }

func (c *batchCall) name() string { return c.label }

// own copies the bodies. Strings need none.
func (c *batchCall) own() {
	for _, o := range c.orders {
		for i, a := range o.args {
			if b, ok := a.([]byte); ok {
				o.args[i] = bytes.Clone(b)
			}
		}
	}
}

// run sends all and repairs what a server without the script refused. It fails
// only if the pipeline did for all keys alike.
func (c *batchCall) run(ctx context.Context, client redis.UniversalClient) error {
	c.replies, c.errs = make([]any, len(c.orders)), make([]error, len(c.orders))
	all, args := make([]int, 0, len(c.orders)), make([][]any, 0, len(c.orders))
	for i := range c.orders {
		if c.errs[i] = c.gone[i]; c.errs[i] == nil {
			all, args = append(all, i), append(args, c.orders[i].args)
		}
	}
	if err := c.exec(ctx, client, all, args); err != nil {
		return err
	}
	return c.repair(ctx, client)
}

// exec sends the commands numbered which.
func (c *batchCall) exec(ctx context.Context, client redis.UniversalClient, which []int, args [][]any) error {
	pipe := client.Pipeline()
	replies := make([]*redis.Cmd, len(which))
	for i, k := range which {
		var send redis.Cmder
		send, replies[i] = c.orders[k].command(ctx, args[i])
		_ = pipe.Process(ctx, send) // queues only
	}
	_, err := pipe.Exec(ctx)
	failed := 0
	for i, k := range which {
		c.replies[k], c.errs[k] = replies[i].Result()
		if c.errs[k] == redis.Nil { //nolint:errorlint // go-redis returns it bare
			c.errs[k] = nil
			failed++
		}
		if c.errs[k] == nil {
			continue
		}
		if failed++; c.replies[k] != nil {
			c.errs[k] = nil // a reply that came is a reply: see readCall.failure
		}
	}
	if err != nil && failed == 0 {
		return err // a hook has sent nothing
	}
	return nil
}

// taught is a script that a node will know.
type taught struct {
	node   string
	script *script
}

// repair sends again what was answered NOSCRIPT, and only that. The first
// command of a script for each node is an EVAL, which makes the script known there
// to those behind it in the same pipeline.
func (c *batchCall) repair(ctx context.Context, client redis.UniversalClient) error {
	var which []int
	var args [][]any
	known := map[taught]bool{}
	for k, err := range c.errs {
		if err == nil || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			continue
		}
		o := c.orders[k]
		again := o.args
		lesson := taught{c.owner(ctx, again[keyAt].(string)), o.script}
		if lesson.node == "" || !known[lesson] {
			again = o.script.inFull(again)
			known[lesson] = true
		}
		which, args = append(which, k), append(args, again)
	}
	if len(which) == 0 {
		return nil
	}
	return c.exec(ctx, client, which, args)
}

// together sends orders in one pipeline within budget. The error is that of all,
// or else the first of any.
func (s *Store) together(ctx context.Context, label string, orders []order) (replies []any, errs []error, err error) {
	start := time.Now()
	c := &batchCall{label: label, owner: s.locate.owner, orders: orders}
	if err := s.send(ctx, s.scripts, c); err != nil {
		return nil, nil, err
	}
	explainAll(ctx, start, s.scripts, label, c.errs)
	return c.replies, c.errs, nil
}
