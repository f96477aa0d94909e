package store

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// evalMany runs sc on each key, with the arguments that args gives it, in one
// pipeline. The scripts answer a number between lo and hi.
func evalMany[A ~int8](
	ctx context.Context, s *Store, sc *script, lo, hi int64, keys []string, args func(key string) []any,
) ([]A, []error) {
	if len(keys) == 0 {
		return nil, nil
	}
	start := time.Now()
	c := &batchCall{script: sc, owner: s.locate.owner, args: make([][]any, len(keys))}
	for i, key := range keys {
		c.args[i] = sc.evalsha(key, args(key))
	}
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

// batchCall is one script on several keys, in one pipeline.
type batchCall struct {
	script  *script
	owner   func(ctx context.Context, key string) string
	args    [][]any
	replies []any
	errs    []error
}

func (c *batchCall) name() string { return c.script.name }

func (*batchCall) own() {} // strings only

// run sends all and repairs what a server without the script refused. It fails
// only if the pipeline did for all keys alike.
func (c *batchCall) run(ctx context.Context, client redis.UniversalClient) error {
	c.replies, c.errs = make([]any, len(c.args)), make([]error, len(c.args))
	all := make([]int, len(c.args))
	for i := range all {
		all[i] = i
	}
	if err := c.exec(ctx, client, all, c.args); err != nil {
		return err
	}
	return c.repair(ctx, client)
}

// exec sends the commands for the keys numbered which.
func (c *batchCall) exec(ctx context.Context, client redis.UniversalClient, which []int, args [][]any) error {
	pipe := client.Pipeline()
	cmds := make([]*redis.Cmd, len(which))
	for i := range which {
		cmds[i] = redis.NewCmd(ctx, args[i]...)
		route(cmds[i])
		_ = pipe.Process(ctx, cmds[i]) // queues only
	}
	_, err := pipe.Exec(ctx)
	failed := 0
	for i, k := range which {
		if c.replies[k], c.errs[k] = cmds[i].Result(); c.errs[k] == nil {
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

// repair sends again what was answered NOSCRIPT, and only that. The first
// command for each node is an EVAL, which makes the script known there to those
// behind it in the same pipeline.
func (c *batchCall) repair(ctx context.Context, client redis.UniversalClient) error {
	var which []int
	var args [][]any
	taught := map[string]bool{}
	for k, err := range c.errs {
		if err == nil || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			continue
		}
		again := c.args[k]
		node := c.owner(ctx, again[keyAt].(string))
		if node == "" || !taught[node] {
			again = c.script.inFull(again)
			taught[node] = true
		}
		which, args = append(which, k), append(args, again)
	}
	if len(which) == 0 {
		return nil
	}
	return c.exec(ctx, client, which, args)
}
