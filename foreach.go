package cache

import (
	"errors"

	"golang.org/x/sync/errgroup"
)

// manyAtOnce bounds how many keys of one call are worked on at the same time,
// where each takes calls of user code.
const manyAtOnce = 8

// forEach calls f for each key, several at once, and joins the errors; of one
// key the error stays itself. A call of f that ends by Goexit is an error, too.
func forEach(keys []string, f func(key string) error) error {
	switch len(keys) {
	case 0:
		return nil
	case 1:
		return f(keys[0])
	}
	errs := make([]error, len(keys))
	var calls errgroup.Group
	calls.SetLimit(manyAtOnce)
	for i, key := range keys {
		calls.Go(func() error {
			errs[i] = &PanicError{Value: errGoexit}
			errs[i] = f(key)
			return nil
		})
	}
	_ = calls.Wait() // each error is in errs
	return errors.Join(errs...)
}
