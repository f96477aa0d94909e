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
	Version uint64
	Deleted bool
	// Payload is the value as encoded; nil if Deleted, or if the record was lost
	// or cannot be decoded, as Reason then says.
	Payload []byte
	Codec   uint8
	Schema  uint16
	Reason  string
}

// DeadLetters lists all dead letters, partition by partition and there the oldest
// first, 64 per round trip. An error is the last element. A letter that comes or
// goes meanwhile may be listed or not.
func (e *Engine) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for part := range e.parts {
			if !e.letters(ctx, part, yield) {
				return
			}
		}
	}
}

// letters lists those of one partition and reports whether to go on.
func (e *Engine) letters(ctx context.Context, part int, yield func(DeadLetter, error) bool) bool {
	for after := ""; ; {
		page, err := e.store.Letters(ctx, e.parts[part], after, letterPage)
		if err != nil {
			yield(DeadLetter{}, err)
			return false
		}
		for _, l := range page {
			if !yield(e.open(part, l), nil) {
				return false
			}
			after = l.ID
		}
		if len(page) < letterPage {
			return true
		}
	}
}

// open decodes a letter as far as that is possible.
func (e *Engine) open(part int, l store.Letter) DeadLetter {
	d := DeadLetter{ID: strconv.Itoa(part) + ":" + l.ID, Key: l.Key, Version: l.Version, Reason: l.Reason}
	if _, body, err := envelope.Decode(l.Record, e.parts[part].Record(l.Key)); err == nil {
		d.Deleted, d.Codec, d.Schema = body.Absent, body.Codec, body.Schema
		if !body.Absent {
			d.Payload = body.Payload
		}
	}
	return d
}

// RetryDeadLetter gives a dead letter ten tries more. It keeps its version, and
// readers see it again at once. Errors: ErrNoLetter; [store.ErrNewer] if its key
// was put since; [store.ErrLost]; [store.ErrForeign]; others leave it open whether
// it was done. Two round trips.
func (e *Engine) RetryDeadLetter(ctx context.Context, id string) error {
	part, rest, err := e.splitLetter(id)
	if err != nil {
		return err
	}
	l, err := e.store.LetterByID(ctx, e.parts[part], rest)
	if err != nil {
		return err
	}
	return e.store.RetryLetter(ctx, e.parts[part], l, e.o.notice(l.Key))
}

// DropDeadLetter forgets a dead letter, or returns ErrNoLetter. One round trip.
func (e *Engine) DropDeadLetter(ctx context.Context, id string) error {
	part, rest, err := e.splitLetter(id)
	if err != nil {
		return err
	}
	return e.store.DropLetter(ctx, e.parts[part], rest)
}

// splitLetter parses an id of DeadLetters. What is none names no letter.
func (e *Engine) splitLetter(id string) (part int, rest string, err error) {
	left, rest, ok := strings.Cut(id, ":")
	part, err = strconv.Atoi(left)
	ms, seq, dashed := strings.Cut(rest, "-")
	_, err1 := strconv.ParseUint(ms, 10, 64)
	_, err2 := strconv.ParseUint(seq, 10, 64)
	if !ok || !dashed || errors.Join(err, err1, err2) != nil || part < 0 || part >= len(e.parts) {
		return 0, "", ErrNoLetter
	}
	return part, rest, nil
}
