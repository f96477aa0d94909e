package conn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// The budgets of an [Options] that names none.
const (
	DefaultReadBudget   = 100 * time.Millisecond
	DefaultScriptBudget = 150 * time.Millisecond
)

// ErrClosed is returned by every operation that starts after [Client.Close].
var ErrClosed = errors.New("store is closed")

// Options configure a [Client]. The zero value is ready for use.
type Options struct {
	// Logger hears of what has no caller to return to: that Close left commands behind,
	// or that the client is none for this server. Nil discards.
	Logger *slog.Logger
	// ReadBudget bounds Read; zero or less means 100 ms.
	ReadBudget time.Duration
	// ScriptBudget bounds all other operations; zero or less means 150 ms.
	ScriptBudget time.Duration
	// Breaker is called when a breaker of the client opens, while all were closed,
	// and when all are closed again: on the goroutine of an operation, under no lock.
	Breaker func(open bool)
}

// Client sends commands to one Redis deployment through a client of go-redis. All
// methods are safe for concurrent use. Make it with [New].
type Client struct {
	redis   redis.UniversalClient
	inline  bool
	reads   time.Duration // budget of a read
	scripts time.Duration // budget of everything else
	log     *slog.Logger
	closed  atomic.Bool
	workers workers
	locate  locator
	batcher batcher

	usualOne, usualMany atomic.Int64 // bytes of the last replies to GET and MGET

	breakers *breakers

	readEnds, scriptEnds deadlines

	onBreaker func(open bool)

	toldMisrouted atomic.Int64 // when, by mono; 0: never
}

// Budget is how long an operation that is no read may take.
func (c *Client) Budget() time.Duration { return c.scripts }

// New wraps client, which stays the caller's to close. It sends nothing.
func New(client redis.UniversalClient, o Options) *Client {
	if o.ReadBudget <= 0 {
		o.ReadBudget = DefaultReadBudget
	}
	if o.ScriptBudget <= 0 {
		o.ScriptBudget = DefaultScriptBudget
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		redis:     client,
		inline:    honoursDeadlines(client),
		reads:     o.ReadBudget,
		scripts:   o.ScriptBudget,
		log:       o.Logger,
		locate:    locatorOf(client),
		onBreaker: o.Breaker,
	}
	c.batcher.open(c)
	c.breakers = breakersOf(c)
	return c
}

// Inline reports whether commands run on the caller's goroutine. It is false for
// a client that would keep a caller beyond its deadline.
func (c *Client) Inline() bool { return c.inline }

// Warnings names, in sentences for a log, the settings of the client that cost
// goroutines, delay recovery after a failover, or void the promise that nobody
// is served what was invalidated before. Empty for a client set up well.
func (c *Client) Warnings() []string { return warningsOf(c.redis) }

// Close refuses operations from now on and waits for the goroutines that still
// hold a command of a caller who left. It waits for twice the script budget at
// most and then returns an error that says how many are left; each ends when the
// client gives its command up. Close never closes the client. Operations on
// callers' goroutines are not waited for. A second Close waits again.
func (c *Client) Close() error {
	c.closed.Store(true)
	c.breakers.leave(c)
	ctx, cancel := context.WithTimeout(context.Background(), 2*c.scripts)
	defer cancel()
	left := c.workers.close(ctx)
	if left == 0 {
		return nil
	}
	c.log.Warn("commands left behind by a client that does not honour deadlines", "commands", left)
	return fmt.Errorf("close: %d commands are still held by the client", left)
}
