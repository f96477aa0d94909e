package behind

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// ErrLetters: dead letters wait for a decision, which nobody could make any more.
var ErrLetters = errors.New("there are dead letters: retry or drop them first")

const (
	retiredFor  = time.Minute      // that no puts are taken, unless that is said again
	retireAgain = 10 * time.Second // when it is
)

// Retire has the partitions take no puts any more, of no process, waits until all that is
// dirty is in the sink, calls prepare and finish, and has them never take one again. Puts
// that come meanwhile fail with an error that Is [store.ErrRetired].
//
// If it fails before finish, also with [ErrLetters] or ctx's error, puts are taken again: at
// once, or if Redis does not answer, or the process dies, after a minute. They are after a
// minute where finish fails, too, which may have taken effect. A process that is paused for
// that long finds puts that came meanwhile: it waits for those, too. An error after finish
// says that they, or the last word to the partitions, are still to come.
func (e *Engine) Retire(ctx context.Context, prepare, finish func(context.Context) error) error {
	err := e.empty(ctx)
	if err == nil {
		err = prepare(ctx)
	}
	anyway := context.WithoutCancel(ctx)
	if err != nil {
		return errors.Join(err, e.store.Reopen(anyway, e.parts))
	}
	if err := finish(ctx); err != nil {
		return err
	}
	if err = e.store.Retire(anyway, e.parts, 0); err == nil {
		err = e.await(ctx, func() (done bool, err error) {
			s, err := e.Sample(ctx)
			return s.Dirty == 0, err
		})
	}
	if err != nil {
		err = fmt.Errorf("write-behind is retired, but for what was put last: %w", err)
	}
	return err
}

// empty keeps puts away until nothing is dirty.
func (e *Engine) empty(ctx context.Context) error {
	var said time.Time
	return e.await(ctx, func() (done bool, err error) {
		if time.Since(said) > retireAgain {
			if err := e.store.Retire(ctx, e.parts, retiredFor); err != nil {
				return false, err
			}
			said = time.Now()
		}
		s, err := e.Sample(ctx)
		if err == nil && s.DeadLetters > 0 {
			err = fmt.Errorf("%d of %w", s.DeadLetters, ErrLetters)
		}
		return s.Dirty == 0, err
	})
}

// Reopen has partitions that were retired take puts again.
func Reopen(ctx context.Context, s *store.Store, parts []store.Partition) error {
	all := make([]*store.Partition, len(parts))
	for i := range parts {
		all[i] = &parts[i]
	}
	return s.Reopen(ctx, all)
}
