package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/mono"
)

// ErrBudget is wrapped by the error of an operation that Redis did not answer
// within the operation's own budget. Whether the operation took effect is unknown.
// It never wraps a context's error: those are the caller's.
var ErrBudget = errors.New("no answer within the budget")

// AnswerError is a reply that no version of the script gives: something else
// under the script's digest, or a proxy that rewrites replies.
type AnswerError struct {
	Script string // name of the script
	Answer any    // the reply as go-redis decoded it
}

// Error names the script and the answer.
func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s: unexpected answer %.80q", e.Script, fmt.Sprint(e.Answer))
}

// explain turns the error of a call into what the caller needs to know: the
// context's own error, bare, if the caller's time is over; ErrBudget if the
// operation's is, which spent says; else err with the name of what was attempted.
func (c *Client) explain(ctx context.Context, spent bool, budget time.Duration, name string, err error) error {
	if replied(err) {
		if c.locate.single() && redis.HasErrorPrefix(err, "MOVED") {
			err = c.misrouted(err)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	if own := Ended(ctx); own != nil {
		return own
	}
	if spent && timedOut(err) {
		return fmt.Errorf("%s: %w of %v: %v", name, ErrBudget, budget, err) //nolint:errorlint // see ErrBudget
	}
	return fmt.Errorf("%s: %w", name, err)
}

// explainAll is explain for what became of a batch's single keys since start.
func (c *Client) explainAll(ctx context.Context, start time.Time, budget time.Duration, name string, errs []error) {
	spent := time.Since(start) >= budget
	for i, err := range errs {
		if err != nil {
			errs[i] = c.explain(ctx, spent, budget, name, err)
		}
	}
}

// What is wrong with a client for one server in front of a cluster, and what mends it.
const (
	wrongClient   = "the client is made for one server, and this is a node of a cluster: keys of its other nodes are neither cached nor invalidated"
	mendMisrouted = "redis.NewClusterClient, or IsClusterMode in redis.UniversalOptions"
)

// MisroutedError is that of a client for one server in front of a node of a cluster. It
// passes only when the program is another one.
type MisroutedError struct{ reply error }

// misrouted marks a reply, and tells of it once an hour.
func (c *Client) misrouted(reply error) error {
	last, now := c.toldMisrouted.Load(), mono.Now()
	if (last == 0 || now-last > int64(time.Hour)) && c.toldMisrouted.CompareAndSwap(last, now) {
		c.log.Warn(wrongClient, "mend", mendMisrouted)
	}
	return &MisroutedError{reply}
}

// Error says what is wrong, and what mends it.
func (e *MisroutedError) Error() string {
	return wrongClient + " (" + e.reply.Error() + "); use " + mendMisrouted
}

// Unwrap returns the reply.
func (e *MisroutedError) Unwrap() error { return e.reply }

// Ended is ctx.Err, and right also in the moment when a socket's timer has seen
// the deadline pass and that of the context has not. Whoever asks whose time was
// over after an operation failed must ask this.
func Ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// timedOut reports whether err says that time ran out, by a socket's deadline,
// the context of a call or the wait for a connection.
func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// replied reports whether err is an error reply of Redis, or a reply that could
// not be understood: there was an answer.
func replied(err error) bool {
	var reply redis.Error
	var answer *AnswerError
	return errors.As(err, &reply) || errors.As(err, &answer)
}

// besideError is the failure of what was sent beside the operation itself, which
// may have taken effect.
type besideError struct{ error }

// Beside marks err as the failure of what was sent beside an operation: it is not
// [NotSent], whatever it is.
func Beside(err error) error { return besideError{err} }

func (e besideError) Unwrap() error { return e.error }

// NotSent reports whether the operation that failed with err can not have taken
// effect, because there was no connection to send it on, or a breaker was open.
func NotSent(err error) bool {
	var beside besideError
	var network *net.OpError
	return !errors.As(err, &beside) && (errors.Is(err, ErrOpen) || errors.As(err, &network) && network.Op == "dial")
}

// outages are the error replies by which a server says that it cannot serve now.
var outages = []string{
	"LOADING", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "NOREPLICAS", "BUSY",
	"max number of clients",
}

// Moving reports whether err says that the keys of an operation are on their way to another
// node, and some have not arrived: nothing was done, and soon it can be. No server is to
// blame.
func Moving(err error) bool { return redis.HasErrorPrefix(err, "TRYAGAIN") }

// Infrastructure reports whether err, as an operation returned it,
// speaks against Redis or the way there: a breaker counts those. These are the
// network's errors, an open breaker, a budget that ran out, a pool without connections, a closed
// client, and the replies LOADING, CLUSTERDOWN, READONLY, MASTERDOWN,
// NOREPLICAS, BUSY and "max number of clients".
//
// It is false for nil, the caller's own cancellation or deadline, ErrClosed, an
// unexpected answer, a hook that panicked, and all other replies (WRONGTYPE, NOSCRIPT, OOM, NOAUTH):
// Redis is there, and reads may well work. For joined errors it is true if it is
// true for one of them.
func Infrastructure(err error) bool {
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case nil:
		return false
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if Infrastructure(one) {
				return true
			}
		}
		return false
	}
	if errors.Is(err, ErrBudget) || errors.Is(err, ErrOpen) {
		return true
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		return outage(reply)
	}
	if panicked(err) {
		return false
	}
	var network *net.OpError // first: a dial that timed out is also a context.DeadlineExceeded
	if errors.As(err, &network) {
		return true
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, ErrClosed) && !replied(err)
}

// outage reports whether a reply is one of the outages.
func outage(reply redis.Error) bool {
	for _, prefix := range outages {
		if redis.HasErrorPrefix(reply, prefix) {
			return true
		}
	}
	return false
}
