package store

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/mono"
)

// Notice is a message that a script publishes after its change, for the L1 of
// other processes. The zero Notice publishes nothing. The store does not look
// into it.
//
// A message that a server does not publish, because its user may not, fails nothing:
// the change was made.
type Notice struct{ Channel, Message string }

// silence is what is known of messages that were not published.
type silence struct {
	tell  func(code string) // nil: nobody
	count atomic.Int64
	told  atomic.Int64 // when, by mono; 0: never
}

// toldAgain is after how long they are told of once more.
const toldAgain = int64(time.Hour)

// missed counts one message.
func (q *silence) missed(why string) {
	q.count.Add(1)
	told, now := q.told.Load(), mono.Now()
	if told != 0 && now-told < toldAgain || !q.told.CompareAndSwap(told, now) || q.tell == nil {
		return
	}
	q.tell(code(why))
}

// code is the word in capitals by which an error reply begins, behind where in the
// script it was. The rest may hold what was published.
func code(reply string) string {
	for _, word := range strings.Fields(reply) {
		word = strings.TrimPrefix(word, "-")
		if len(word) > 2 && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			return word
		}
	}
	return "ERR"
}

// Unpublished is how many messages of changes that were made were not published.
func (s *Store) Unpublished() int64 { return s.silence.count.Load() }

// Publish sends a notice alone.
func (s *Store) Publish(ctx context.Context, n Notice) error {
	ops := conn.NewOps("publish", 1)
	ops.Add(conn.Op{Args: []any{"publish", n.Channel, n.Message}})
	s.conn.Do(ctx, ops)
	_, err := ops.Reply(0)
	return err
}
