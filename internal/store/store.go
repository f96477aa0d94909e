package store

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

// ErrClosed is returned by every operation that starts after [Store.Close].
var ErrClosed = errors.New("store is closed")

// Options configure a [Store]. The zero value is ready for use.
type Options struct {
	// Logger hears of what has no caller to return to, at present that Close
	// left commands behind. Nil discards.
	Logger *slog.Logger
	// ReadBudget bounds Read and ReadMany; zero or less means 100 ms.
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
	client   redis.UniversalClient
	inline   bool
	reads    time.Duration // budget of a read
	scripts  time.Duration // budget of everything else
	log      *slog.Logger
	closed   atomic.Bool
	detached crew
	locate   locator
	lanes    lanes

	usualOne, usualMany atomic.Int64 // bytes of the last replies to GET and MGET

	guards *guards

	readEnds, scriptEnds deadlines

	onBreaker func(open bool)

	silence silence
}

// New wraps client, which stays the caller's to close. It sends nothing.
func New(client redis.UniversalClient, o Options) *Store {
	if o.ReadBudget <= 0 {
		o.ReadBudget = DefaultReadBudget
	}
	if o.ScriptBudget <= 0 {
		o.ScriptBudget = DefaultScriptBudget
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		client:  client,
		inline:  honoursDeadlines(client),
		reads:   o.ReadBudget,
		scripts: o.ScriptBudget,
		log:     o.Logger,
		locate:  locatorOf(client),
	}
	s.onBreaker = o.Breaker
	s.silence.tell = o.Unpublished
	s.lanes.open(s, s.readAlone, s.readMany)
	s.guards = guard(s)
	return s
}

// Inline reports whether commands run on the caller's goroutine. It is false for
// a client that would keep a caller beyond its deadline.
func (s *Store) Inline() bool { return s.inline }

// Warnings names, in sentences for a log, the settings of the client that cost
// goroutines, delay recovery after a failover, or void the promise that nobody
// is served what was invalidated before. Empty for a client set up well.
func (s *Store) Warnings() []string { return warningsOf(s.client) }

// Close refuses operations from now on and waits for the goroutines that still
// hold a command of a caller who left. It waits for twice the script budget at
// most and then returns an error that says how many are left; each ends when the
// client gives its command up. Close never closes the client. Operations on
// callers' goroutines are not waited for. A second Close waits again.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.guards.release(s)
	ctx, cancel := context.WithTimeout(context.Background(), 2*s.scripts)
	defer cancel()
	left := s.detached.close(ctx)
	if left == 0 {
		return nil
	}
	s.log.Warn("commands left behind by a client that does not honour deadlines", "commands", left)
	return fmt.Errorf("close: %d commands are still held by the client", left)
}
