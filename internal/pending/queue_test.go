package pending_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/pending"
)

var (
	errDown    = errors.New("down")
	errUnasked = errors.New("the breaker is open")
	errClosed  = errors.New("closed")
)

// server is what a queue sends to: names that it was sent, in the order of the sends, and
// why it refuses.
type server struct {
	mu      sync.Mutex // protects following
	sent    []string
	passes  []time.Duration // when something was sent, since it began
	began   time.Time
	refuses func(name string) error
	during  func() // runs within each send
	closing chan struct{}
	queue   *pending.Queue
}

// open returns a server that refuses everything, and its queue. It is for a bubble.
func open(t *testing.T, limit int) *server {
	s := &server{began: time.Now(), closing: make(chan struct{}), during: func() {}}
	s.answer(func(string) error { return errDown })
	s.queue = pending.New(pending.Options{
		Keys:   func(_ context.Context, names []string) []error { return s.take("key", names) },
		Tags:   func(_ context.Context, names []string) []error { return s.take("tag", names) },
		All:    func(context.Context) error { return s.take("all", []string{""})[0] },
		End:    func(_ context.Context, keys []string, _ []envelope.Token) []error { return s.take("end", keys) },
		Limit:  limit,
		Logger: slog.New(slog.DiscardHandler), Unasked: errUnasked, Outage: func(err error) bool { return errors.Is(err, errDown) || errors.Is(err, errUnasked) }, Closing: s.closing, Closed: errClosed,
	})
	return s
}

func (s *server) take(kind string, names []string) []error {
	s.during()
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(names))
	for i, name := range names {
		s.sent = append(s.sent, kind+" "+name)
		errs[i] = s.refuses(name)
	}
	s.passes = append(s.passes, time.Since(s.began))
	return errs
}

// answer says from now on whether the server accepts a name.
func (s *server) answer(refuses func(name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = refuses
}

func (s *server) heal() { s.answer(func(string) error { return nil }) }

func (s *server) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

func (s *server) close() int {
	close(s.closing)
	return s.queue.Close()
}

func key(name string) pending.Target { return pending.Target{Kind: pending.Key, Name: name} }

func tag(name string) pending.Target { return pending.Target{Kind: pending.Tag, Name: name} }

func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestWhatIsQueuedIsSentUntilItIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		assert.False(t, s.queue.Has(pending.Key, "a"))
		s.queue.Add(key("a"))
		s.queue.Add(tag("a"))
		s.queue.Add(key("a")) // once more is once
		assert.EqualValues(t, 2, s.queue.Len())
		assert.True(t, s.queue.Has(pending.Key, "a"))
		assert.True(t, s.queue.Has(pending.Tag, "a"))
		assert.False(t, s.queue.Has(pending.Key, "b"))
		time.Sleep(time.Minute)
		assert.EqualValues(t, 2, s.queue.Len(), "it is still refused")
		s.heal()
		require.NoError(t, s.queue.Flush(t.Context()))
		assert.False(t, s.queue.Has(pending.Key, "a"))
		assert.False(t, s.queue.Has(pending.Tag, "a"))
		assert.Zero(t, s.close())
	})
}

func TestTheWaitForTheNextPassGrowsToASecond(t *testing.T) {
	after := func(t *testing.T, why error, passes int) (waits []time.Duration) {
		s := open(t, 0)
		s.answer(func(string) error { return fmt.Errorf("%w: so", why) })
		s.queue.Add(key("a"))
		time.Sleep(10 * time.Second)
		assert.Equal(t, 1, s.close())
		last := time.Duration(0)
		for _, at := range s.passes[:passes] {
			waits, last = append(waits, at-last), at
		}
		return waits
	}
	bubble(t, "while Redis refuses", func(t *testing.T) {
		const ms = time.Millisecond
		assert.Equal(t, []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second, time.Second}, after(t, errDown, 7))
	})
	bubble(t, "and not while it is not asked", func(t *testing.T) {
		const ms = time.Millisecond
		assert.Equal(t, []time.Duration{50 * ms, 50 * ms, 50 * ms, 50 * ms}, after(t, errUnasked, 4))
	})
	bubble(t, "and it ends when Redis answers again", func(t *testing.T) {
		s := open(t, 0)
		s.queue.Add(key("a"))
		time.Sleep(10*time.Second + 100*time.Millisecond)
		s.heal()
		s.queue.Hurry()
		s.queue.Hurry()
		synctest.Wait()
		assert.Zero(t, s.queue.Len())
		assert.Zero(t, s.close())
	})
}

func TestOneMoreThanTheQueueHoldsIsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 3
		s := open(t, limit)
		for i := range limit {
			s.queue.Add(key(strconv.Itoa(i)), envelope.NewToken())
		}
		s.queue.Add(key("0"))
		assert.EqualValues(t, limit, s.queue.Len(), "it has room for what it holds")
		assert.False(t, s.queue.Has(pending.Key, "another"))
		s.queue.Add(tag("one more"))
		assert.EqualValues(t, 1, s.queue.Len())
		assert.True(t, s.queue.Has(pending.Key, "another"), "all keys are pending")
		assert.True(t, s.queue.Has(pending.Tag, "another"), "and all tags")
		s.heal()
		require.NoError(t, s.queue.Flush(t.Context()))
		assert.Equal(t, []string{"all "}, s.log(), "one invalidation, and no intent is ended")
		assert.Zero(t, s.close())
	})
}

func TestIntentsAreEndedBeforeTheirKeyIsInvalidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		s.queue.Add(key("a"), envelope.NewToken())
		s.queue.Add(key("a"), envelope.NewToken())
		s.heal()
		require.NoError(t, s.queue.Flush(t.Context()))
		assert.Equal(t, []string{"end a", "end a", "key a"}, s.log())
		assert.Zero(t, s.close())
	})
}

func TestWhatFailsAgainWhileItIsSentStaysQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		s.queue.Add(key("a"))
		s.heal()
		again := sync.OnceFunc(func() { s.queue.Add(key("a")) })
		s.during = again
		require.NoError(t, s.queue.Flush(t.Context()))
		assert.Equal(t, []string{"key a", "key a"}, s.log(), "its caller was told that it is pending")
		assert.Zero(t, s.close())
	})
}

func TestWhatOneNodeRefusesKeepsNothingElseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		for i := range 5_000 {
			s.queue.Add(key(strconv.Itoa(i)))
		}
		s.answer(func(name string) error {
			if i, _ := strconv.Atoi(name); i%100 == 0 {
				return errDown
			}
			return nil
		})
		time.Sleep(60 * time.Millisecond)
		assert.EqualValues(t, 50, s.queue.Len(), "one pass has sent everything once")
		assert.Len(t, s.log(), 5_000)
		assert.Equal(t, 50, s.close())
	})
}

func TestAReadIsOvertakenByTheTagsThatLeaveTheQueueMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		space, err := keyspace.New("test")
		require.NoError(t, err)
		tags := envelope.AppendTag(nil, envelope.Tag{ID: keyspace.TagID("t"), Token: envelope.NewToken()})
		none, about := envelope.Tags{}, tag(space.TagKey(keyspace.TagID("t")))

		before := s.queue.Epoch()
		assert.False(t, s.queue.Overtook(space, tags, before))
		s.queue.Add(about)
		assert.True(t, s.queue.Overtook(space, tags, before), "it is queued")
		assert.False(t, s.queue.Overtook(space, none, before), "an entry without tags is not concerned")
		s.heal()
		require.NoError(t, s.queue.Flush(t.Context()))
		assert.True(t, s.queue.Overtook(space, tags, before), "it was queued when the read began")
		assert.False(t, s.queue.Overtook(space, tags, s.queue.Epoch()), "a read that begins now finds the new token")

		before = s.queue.Epoch()
		s.queue.Add(key("a"))
		require.NoError(t, s.queue.Flush(t.Context()))
		assert.False(t, s.queue.Overtook(space, tags, before), "keys are asked for by name")
		assert.Zero(t, s.close())
	})
}

func TestFlushEndsWithItsContextAndWithTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		require.NoError(t, s.queue.Flush(t.Context()), "there is nothing to wait for")
		s.queue.Add(key("a"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, s.queue.Flush(ctx), context.DeadlineExceeded)
		time.AfterFunc(time.Second, func() { close(s.closing) })
		assert.ErrorIs(t, s.queue.Flush(t.Context()), errClosed)
		assert.Equal(t, 1, s.queue.Close())
		s.queue.Add(key("b"))
		assert.Equal(t, 2, s.queue.Close(), "it is counted, and not sent")
	})
}

// A few fail while Redis is slow, and very many are refused: the few are sent in the next
// pass, not when chance puts them into its first batch.
func TestAPassGoesOnBehindABatchThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 0)
		errRule := errors.New("NOPERM")
		const refused = 20_000
		for i := range refused {
			s.queue.Add(pending.Target{Name: "refused " + strconv.Itoa(i)})
		}
		for i := range 5 {
			s.queue.Add(pending.Target{Name: "slow " + strconv.Itoa(i)})
		}
		slow := map[string]bool{}
		s.answer(func(name string) error {
			switch {
			case strings.HasPrefix(name, "refused"):
				return errRule
			case !slow[name]:
				slow[name] = true
				return errDown
			}
			return nil
		})
		for i := range 2_000 { // they are accepted, so the first pass is through all batches
			s.queue.Add(pending.Target{Name: "good " + strconv.Itoa(i)})
		}
		time.Sleep(time.Second)
		assert.EqualValues(t, refused, s.queue.Len())
		close(s.closing)
		s.queue.Close()
	})
}
