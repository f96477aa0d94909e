package conn

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// WorkBudget bounds what no request waits for, as the operations of write-behind
// workers, which carry whole batches.
const WorkBudget = 2 * time.Second

// pipeCall is a pipeline of commands, each of which keeps its own outcome. Their
// arguments are strings and numbers.
type pipeCall struct {
	label string
	cmds  []redis.Cmder
}

func (c *pipeCall) name() string { return c.label }

func (*pipeCall) own() {}

// run fails only if nothing was sent: errors are the commands'.
func (c *pipeCall) run(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	for _, cmd := range c.cmds {
		_ = pipe.Process(ctx, cmd) // queues only
	}
	_, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	for _, cmd := range c.cmds {
		if cmd.Err() != nil {
			return nil
		}
	}
	return err // a hook has sent nothing
}

// Pipe sends cmds within the [WorkBudget] and returns the error of each. redis.Nil
// counts as none. After an error they must not be looked at.
func (c *Client) Pipe(ctx context.Context, label string, cmds ...redis.Cmder) []error {
	errs := make([]error, len(cmds))
	if len(cmds) == 0 {
		return errs
	}
	start := time.Now()
	if err := c.send(ctx, WorkBudget, &pipeCall{label: label, cmds: cmds}); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i, cmd := range cmds {
		if err := cmd.Err(); !errors.Is(err, redis.Nil) {
			errs[i] = err
		}
	}
	c.explainAll(ctx, start, WorkBudget, label, errs)
	return errs
}
