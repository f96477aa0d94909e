package pending

import "errors"

// Err is what an [Error] is.
var Err = errors.New("cache: invalidation pending")

// Error is why an invalidation failed that is queued. It Is [Err].
type Error struct {
	Cause error
	Lost  bool // the queue was closed by then
}

func (e Error) Error() string {
	if e.Lost {
		return e.Cause.Error() + "; its invalidation is lost, since the cache is closed: what is cached ends with its TTL"
	}
	return e.Cause.Error() + "; its invalidation is queued"
}

// Is reports whether target is Err.
func (e Error) Is(target error) bool { return target == Err }

// Unwrap returns the cause.
func (e Error) Unwrap() error { return e.Cause }
