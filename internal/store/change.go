package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/invalidate.lua
	invalidateLua string
	//go:embed lua/expire.lua
	expireLua string
	//go:embed lua/slide.lua
	slideLua string

	invalidateScript = newKeyScript("invalidate", invalidateLua)
	expireScript     = newKeyScript("expire", expireLua)
	slideScript      = newKeyScript("slide", slideLua)
)

// ChangeAnswer is what became of a [Change].
type ChangeAnswer int8

const (
	// ChangeForeign: the record is not the cache's and stays as it is. Of Expire only:
	// Invalidate removes a foreign string.
	ChangeForeign ChangeAnswer = -2
	// ChangeNothing: there was nothing to change. Expire has left a write-behind record
	// as it is, and removed a lease or a back-off; Invalidate has left alone what is of
	// another Redis type.
	ChangeNothing ChangeAnswer = 0
	// ChangeMade: the record is gone; under Expire it is kept for stale serving, and its
	// lease is lost.
	ChangeMade ChangeAnswer = 1
	// ChangeWriting: a write is in progress and was told of the conflict.
	ChangeWriting ChangeAnswer = 2
	// ChangeDirty: a write-behind record is the newest there is and stays. Of Invalidate.
	ChangeDirty ChangeAnswer = 3
)

// Change says that what is cached under a key is not true any more.
type Change struct {
	Key string
	// Notice is published unless the record was left as it is.
	Notice Notice

	// Answer is what became of it, unless there is Err.
	Answer ChangeAnswer
	Err    error
}

// Invalidate removes what is cached, with any lease. It is safe to repeat, and after an
// error the caller must. Each 256 keys are a pipeline with a budget for itself.
func (s *Store) Invalidate(ctx context.Context, changes []Change) {
	ops := conn.NewOps(invalidateScript.Name, len(changes))
	for i := range changes {
		c := &changes[i]
		ops.Add(invalidateScript.On(c.Key, c.Notice.Channel, c.Notice.Message))
	}
	s.conn.Do(ctx, ops)
	s.changed(invalidateScript, ops, changes, 0, 3)
}

// Expire makes values stale now and keeps them for stale, at least 1 ms, or for what they
// had left if that is less. It is safe to repeat.
func (s *Store) Expire(ctx context.Context, changes []Change, stale time.Duration) {
	ops := conn.NewOps(expireScript.Name, len(changes))
	for i := range changes {
		c := &changes[i]
		ops.Add(expireScript.On(c.Key, millis(stale, 1), c.Notice.Channel, c.Notice.Message))
	}
	s.conn.Do(ctx, ops)
	s.changed(expireScript, ops, changes, -2, 2)
}

func (s *Store) changed(sc *conn.Script, ops *conn.Ops, changes []Change, lo, hi int64) {
	for i := range changes {
		n, err := s.number(sc, ops, i, lo, hi)
		changes[i].Answer, changes[i].Err = ChangeAnswer(n), err
	}
}

// Slide lets the value of a key live for longer.
type Slide struct {
	Key string
	// CID is the value's.
	CID envelope.Token
	// Soft is how long it is to be fresh, TTL how long to live, from now on.
	Soft, TTL time.Duration
	// Latest is when it must end, in ms of Redis time; 0: no limit. What that takes off
	// TTL is taken off Soft, too.
	Latest int64

	// Slid is false if another record is there, the value is not fresh any more, or
	// nothing would be left; unless there is Err.
	Slid bool
	Err  error
}

// Slide makes slides. It is safe to repeat.
func (s *Store) Slide(ctx context.Context, slides []Slide) {
	ops := conn.NewOps(slideScript.Name, len(slides))
	for i := range slides {
		d := &slides[i]
		ops.Add(slideScript.On(d.Key, token(d.CID), millis(d.TTL, 0), d.Soft.Milliseconds(), d.Latest))
	}
	s.conn.Do(ctx, ops)
	for i := range slides {
		n, err := s.number(slideScript, ops, i, 0, 1)
		slides[i].Slid, slides[i].Err = n == 1, err
	}
}
