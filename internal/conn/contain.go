package conn

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// PanicError is what an operation ended with because a hook of the client panicked, or
// the client did. Whether it took effect is unknown. Other readers who shared its
// batch have the same one.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of the goroutine
}

// Error does not quote what it panicked with, which may hold a key, unless it is the
// runtime's.
func (e *PanicError) Error() string {
	if err, ok := e.Value.(runtime.Error); ok {
		return "a hook of the client panicked: " + err.Error()
	}
	return fmt.Sprintf("a hook of the client panicked with a %T", e.Value)
}

// contain, deferred, turns a panic into an error. What runs hooks of the client runs
// user code, also on goroutines of the Client's and of the cache's, where nobody could
// recover.
func contain(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// panicked reports whether err is of a panic.
func panicked(err error) bool {
	_, ok := errors.AsType[*PanicError](err)
	return ok
}
