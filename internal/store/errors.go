package store

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
)

// What internal/conn says of failures and of servers, for those who know only the store.
var (
	// ErrOpen says that an operation was not sent, because Redis did not answer lately.
	ErrOpen = conn.ErrOpen
	// ErrBudget is wrapped by the error of an operation without an answer in time.
	ErrBudget = conn.ErrBudget
	// ErrClosed is returned by every operation that starts after [Store.Close].
	ErrClosed = conn.ErrClosed
	// ErrVolatile is wrapped by what CheckDurability has against a Redis.
	ErrVolatile = conn.ErrVolatile
)

// The budgets of an [Options] that names none, and that of write-behind's workers.
const (
	DefaultReadBudget   = conn.DefaultReadBudget
	DefaultScriptBudget = conn.DefaultScriptBudget
	WorkBudget          = conn.WorkBudget
)

type (
	// Node is what one server says of itself.
	Node = conn.Server
	// ClientProblem is what is wrong with a client's settings.
	ClientProblem = conn.ClientProblem
	// AnswerError is a reply that no version of the script gives.
	AnswerError = conn.AnswerError
	// PanicError is what an operation ended with because a hook of the client panicked.
	PanicError = conn.PanicError
)

// Settings are what [Survey] asks CONFIG GET for.
var Settings = conn.Settings

// Ended is ctx.Err, and right also in the moment when a socket's timer has seen the
// deadline pass and that of the context has not: see [conn.Ended].
func Ended(ctx context.Context) error { return conn.Ended(ctx) }

// Infrastructure reports whether err speaks against Redis or the way there: see
// [conn.Infrastructure].
func Infrastructure(err error) bool { return conn.Infrastructure(err) }

// Moving reports whether the operation that failed with err can be repeated soon, because
// its keys are on their way to another node: see [conn.Moving].
func Moving(err error) bool { return conn.Moving(err) }

// NotSent reports whether the operation that failed with err can not have taken effect:
// see [conn.NotSent].
func NotSent(err error) bool { return conn.NotSent(err) }

// Forbidden says what a server refuses for good that an operation needs, if err is that:
// see [conn.Forbidden].
func Forbidden(err error) (what string, ok bool) { return conn.Forbidden(err) }

// ReadsReplicas reports whether the client is set up to read from replicas.
func ReadsReplicas(client redis.UniversalClient) bool { return conn.ReadsReplicas(client) }

// ClientProblems are the [Store.Warnings] of a client, with what mends them, and whether it
// is one for these servers.
func ClientProblems(client redis.UniversalClient, servers []Node) []ClientProblem {
	return conn.ClientProblems(client, servers)
}

// ParseInfo reads the text of INFO.
func ParseInfo(text string) map[string]string { return conn.ParseInfo(text) }

// Survey asks each server of the client: see [conn.Survey].
func Survey(ctx context.Context, client redis.UniversalClient) ([]Node, error) {
	return conn.Survey(ctx, client)
}

// KeyErrors are the errors of a batch: element i belongs to key i and is nil if
// that key succeeded. At least one is not.
type KeyErrors []error

// Error joins the different ones.
func (e KeyErrors) Error() string { return errors.Join(e...).Error() }

// Unwrap gives [errors.Is] and [errors.As] those that are not nil.
func (e KeyErrors) Unwrap() []error {
	var all []error
	for _, err := range e {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// keyErrors returns errs as an error, nil if there is none among them.
func keyErrors(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return KeyErrors(errs)
		}
	}
	return nil
}
