package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/store"
)

// Sentinels that callers branch on. What a loader or a writer returns is
// passed on unchanged and is never one of these, except that an error which
// means "no such record" also Is [ErrNotFound] (see [WithNotFound]).
var (
	// ErrMiss says that the cache holds no live entry. Get returns it bare, so
	// == works and a miss allocates nothing for it.
	ErrMiss = errors.New("cache: miss")

	// ErrNotFound says that the system of record has no such record. Loaders
	// return it, wrapped or bare; callers get it; it is remembered for
	// [TTL].Absent.
	ErrNotFound = errors.New("cache: not found")

	// ErrClosed is returned by every method after Close or Shutdown, and to
	// callers that wait for a load while the cache is closed.
	ErrClosed = load.ErrClosed

	// ErrOverloaded says that a load was refused because as many loads as
	// [WithLoadLimit] allows were running, for longer than the queue waits.
	ErrOverloaded = load.ErrOverloaded

	// ErrBackoff says that the last load of this key failed moments ago, that
	// the fleet is backing off, and that the caller may not wait for the end
	// of the back-off.
	ErrBackoff = errors.New("cache: backing off after a failed load")

	// ErrBackpressure says that a write-behind cache stored nothing, because as many
	// keys as WriteBehindOptions.MaxDirty allows are waiting for the sink.
	ErrBackpressure = errors.New("cache: too many unflushed keys")

	// ErrPending says that the write succeeded and must not be repeated: only
	// its invalidation is still queued, because Redis failed. Until it lands,
	// this process does not read the key from Redis. Where the cache was closed
	// before, it is lost, as the text says; the intent of an Update stays for its 30 s.
	ErrPending = pending.Err
)

// OpError is a failure of the cache itself: a bad argument, or a Redis that
// did not answer. Loader and writer errors never come as an OpError, so "Redis
// is down" and "the database is down" never look alike.
type OpError struct {
	// Op is the operation: "get", "set", "delete", "invalidate" and so on.
	Op string
	// Key is the caller's key; empty if the failure concerns none.
	Key string
	// Err is the cause; Unwrap returns it.
	Err error
}

func (e *OpError) Error() string {
	if e.Key == "" {
		return "cache: " + e.Op + ": " + e.Err.Error()
	}
	return "cache: " + e.Op + " " + strconv.Quote(e.Key) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// PanicError says that a loader, a writer or a codec panicked or called
// [runtime.Goexit] while the cache ran it. Every caller that waited for it
// gets the same one; nothing is stored.
type PanicError struct {
	// Value is what the function panicked with; for Goexit an error that says so.
	Value any
	// Stack is the stack of the goroutine that panicked.
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("cache: loader panicked: %v", e.Value) }

// quiet is Error without what it panicked with, unless that is the runtime's.
func (e *PanicError) quiet() string {
	if err, ok := e.Value.(runtime.Error); ok {
		return "it panicked: " + err.Error()
	}
	return fmt.Sprintf("it panicked with a %T", e.Value)
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// errGoexit is the Value of the PanicError of a function that called Goexit.
var errGoexit = load.ErrGoexit

// manyError is the errors of single keys of one call, of so many keys. Its text does
// not grow with their number: see toldErrors.
type manyError struct {
	errs []error
	of   int
}

// toldErrors is how many errors are told in full.
const toldErrors = 10

// joinErrors joins the errors of a call of so many keys; one alone stays itself, and
// none is nil.
func joinErrors(errs []error, of int) error {
	if len(errs) == 1 {
		return errs[0]
	}
	if len(errs) <= toldErrors {
		return errors.Join(errs...)
	}
	return &manyError{errs: errs, of: of}
}

func (e *manyError) Error() string {
	return fmt.Sprintf("cache: %d of %d keys failed; the first: %v", len(e.errs), e.of, e.errs[0])
}

func (e *manyError) Unwrap() []error { return e.errs }

// RemainingError says what Close or Shutdown had to leave behind.
type RemainingError struct {
	// Dirty is the number of write-behind keys that are not in the sink yet.
	// They stay in Redis, for the other processes.
	Dirty int
	// Pending is the number of invalidations that Redis never accepted.
	Pending int
	// Running is the number of keys whose loader, and of calls of the sink, that had not
	// returned although their contexts had ended. What they return is not stored, or
	// acknowledged, any more.
	Running int
}

func (e *RemainingError) Error() string {
	text := fmt.Sprintf("cache: closed with %d dirty keys and %d pending invalidations left", e.Dirty, e.Pending)
	if e.Running > 0 {
		text += fmt.Sprintf(", and %d calls of loaders and sinks that do not return", e.Running)
	}
	return text
}

// orNil is e, or nil if nothing is left.
func (e *RemainingError) orNil() error {
	if *e == (RemainingError{}) {
		return nil
	}
	return e
}

// errLockWait is why a stale value was served: the load of another process did
// not end within Lock.Wait.
var errLockWait = errors.New("cache: another process is loading for longer than Lock.Wait")

// isAbsent reports whether a load's error is an answer: there is no record.
func isAbsent(err error) bool { return errors.Is(err, ErrNotFound) }

// absentError is a loader's error that means ErrNotFound without being it. The
// caller of the load gets both: the loader's own identity and ErrNotFound.
type absentError struct{ error }

func (e absentError) Is(target error) bool { return target == ErrNotFound }
func (e absentError) Unwrap() error        { return e.error }

// argError is an *OpError for an argument the call cannot work with.
func argError(op, key, problem string) error {
	return &OpError{Op: op, Key: key, Err: errors.New(problem)}
}

// isAnswer reports whether an error is an answer, and no failure: a miss, or an absence.
func isAnswer(err error) bool { return errors.Is(err, ErrMiss) || isAbsent(err) }

// tellable are the errors whose text is known.
var tellable = []error{
	context.Canceled, context.DeadlineExceeded, ErrClosed, ErrOverloaded, ErrBackoff,
	ErrBackpressure, store.ErrBudget, errors.ErrUnsupported, store.ErrOpen, store.ErrForeign, errProof, errKeyID, errDecryption, errEncrypted,
}

// failure describes an error in a span without quoting what may hold a key or a
// value: a loader's error, and the rest of an error reply of Redis ("ERR unknown
// command 'evalsha', with args beginning with …").
func failure(err error) string {
	for _, known := range tellable {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var own *OpError
	if !errors.As(err, &own) {
		return "the loader or writer failed"
	}
	if reply, ok := errors.AsType[redis.Error](own); ok {
		return "redis answered " + code(reply.Error())
	}
	return logged(own.Err)
}

// logged describes an error in the log, which shall help to mend it, without quoting what
// may hold a key or a value: of one that is not the cache's or Redis's it is the type.
func logged(err error) string {
	for _, known := range tellable {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if reply, ok := errors.AsType[redis.Error](err); ok {
		return unquoted(reply.Error())
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network.Error()
	}
	if answer, ok := errors.AsType[*store.AnswerError](err); ok {
		return answer.Script + ": unexpected answer"
	}
	if panicked, ok := errors.AsType[*store.PanicError](err); ok {
		return panicked.Error()
	}
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		return panicked.quiet()
	}
	return "an error of type " + innermost(err)
}

// innermost is the type of what err wraps, down to where it wraps nothing, or several.
func innermost(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// unquoted is what a reply says before it quotes something, which may be a key.
func unquoted(reply string) string {
	for _, quote := range []string{" '", " `", ` "`} {
		reply, _, _ = strings.Cut(reply, quote)
	}
	return reply
}

// code is the first word of an error reply, which by convention is its code.
func code(reply string) string {
	word, _, _ := strings.Cut(reply, " ")
	if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return "an error"
	}
	return word
}

// contain calls user code and turns its panic into an error. Goexit passes.
func contain(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// isNil reports whether v is nil or holds a nil pointer.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
