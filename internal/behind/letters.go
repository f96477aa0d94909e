package behind

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

const letterPage = 64

// ErrNoLetter: there is no dead letter of that id.
var ErrNoLetter = store.ErrNoLetter

// DeadLetter is a value that was given up.
type DeadLetter struct {
	// ID names it for Retry and Drop.
	ID, Key string
	Version uint64 // 0: the value was lost
	Deleted bool
	// Payload is the value as encoded; nil if Deleted, or if the record was lost
	// or cannot be decoded, as Reason then says.
	Payload []byte
	Codec   uint8
	Schema  uint16
	Reason  string
}

// DeadLetters lists the dead letters that there are now, partition by partition and there
// the oldest first, and reads what they hold by 64, or a megabyte. An error is the last
// element. A letter that goes meanwhile may be listed or not.
func (e *Engine) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		err := e.eachPage(ctx, func(page []store.Letter) error {
			for len(page) > 0 {
				n, bytes := 1, page[0].Size
				for n < len(page) && bytes+page[n].Size <= mostBytes {
					bytes += page[n].Size
					n++
				}
				records, err := e.store.LetterRecords(ctx, page[:n])
				if err != nil {
					return err
				}
				for i, l := range page[:n] {
					if !yield(e.withPayload(l, records[i]), nil) {
						return errEnough
					}
				}
				page = page[n:]
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(DeadLetter{}, err)
		}
	}
}

// errEnough: the reader does not want more.
var errEnough = errors.New("enough")

// eachPage calls f with the letters that there are now, without what they hold.
func (e *Engine) eachPage(ctx context.Context, f func(page []store.Letter) error) error {
	gauges, err := e.store.Gauges(ctx, e.parts)
	if err != nil {
		return err
	}
	for part, p := range e.parts {
		if gauges[part].DeadLetters == 0 {
			continue
		}
		for at := new(store.LetterPage); ; {
			page, err := e.store.Letters(ctx, p, at, gauges[part].Now, letterPage)
			if err == nil && len(page) > 0 {
				err = f(page)
			}
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
		}
	}
	return nil
}

// letterOf is what is known of a letter without what it holds.
func (e *Engine) letterOf(l store.Letter) DeadLetter {
	version, _ := strconv.ParseUint(l.Version, 16, 64)
	return DeadLetter{ID: l.Version + ":" + l.Key, Key: l.Key, Version: version, Deleted: l.Deleted, Reason: e.o.show(l.Key, l.Reason)}
}

// withPayload decodes what a letter holds as far as that is possible.
func (e *Engine) withPayload(l store.Letter, record []byte) DeadLetter {
	d := e.letterOf(l)
	if _, body, err := envelope.Decode(record, l.Partition.Record(l.Key)); err == nil {
		d.Deleted, d.Codec, d.Schema = body.Absent, body.Codec, body.Schema
		if !body.Absent {
			d.Payload = body.Payload
		}
	}
	return d
}

// RetryDeadLetter gives a dead letter as many tries more. It keeps its version, and
// readers see it again at once. Errors: ErrNoLetter; [store.ErrNewer] if its key
// was written since; [store.ErrLost]; [store.ErrForeign]; others leave it open whether
// it was done. One round trip.
func (e *Engine) RetryDeadLetter(ctx context.Context, id string) error {
	return e.byID(ctx, id, e.store.Requeue)
}

// DropDeadLetter forgets a dead letter, or returns ErrNoLetter. One round trip.
func (e *Engine) DropDeadLetter(ctx context.Context, id string) error {
	return e.byID(ctx, id, e.store.Drop)
}

func (e *Engine) byID(ctx context.Context, id string, do func(context.Context, []store.Letter)) error {
	version, key, ok := strings.Cut(id, ":")
	if !ok || version != "" && len(version) != versionSize {
		return ErrNoLetter
	}
	one := []store.Letter{{Partition: e.PartitionOf(key), Key: key, Version: version, Notice: e.o.notice(key)}}
	do(ctx, one)
	return one[0].Err
}

const versionSize = 16

// RetryDeadLetters retries all letters that match, without what they hold. It returns how
// many it has retried; those that something newer took the place of, and those without a
// value, are left as they are. Another error is that of the first page that failed.
func (e *Engine) RetryDeadLetters(ctx context.Context, match func(DeadLetter) bool) (int, error) {
	return e.matching(ctx, match, e.store.Requeue)
}

// DropDeadLetters drops all letters that match, as RetryDeadLetters retries them.
func (e *Engine) DropDeadLetters(ctx context.Context, match func(DeadLetter) bool) (int, error) {
	return e.matching(ctx, match, e.store.Drop)
}

func (e *Engine) matching(ctx context.Context, match func(DeadLetter) bool, do func(context.Context, []store.Letter)) (n int, err error) {
	err = e.eachPage(ctx, func(page []store.Letter) error {
		var chosen []store.Letter
		for _, l := range page {
			if match == nil || match(e.letterOf(l)) {
				l.Notice = e.o.notice(l.Key)
				chosen = append(chosen, l)
			}
		}
		do(ctx, chosen)
		var errs []error
		for i := range chosen {
			switch err := chosen[i].Err; {
			case err == nil:
				n++
			case errors.Is(err, store.ErrNewer), errors.Is(err, store.ErrLost), errors.Is(err, store.ErrNoLetter), errors.Is(err, store.ErrForeign):
			default:
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
	return n, err
}
