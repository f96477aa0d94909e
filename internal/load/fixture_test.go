package load_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/load"
)

const (
	timeout  = 10 * time.Second // of a loader
	patience = time.Second      // for other processes
)

var errLoader = errors.New("no database")

// script is what a backend answers.
type script struct {
	refuse  bool          // no entry may be made
	answers []load.Answer // of the first acquire of a key, of the second...; the last one stays
	polls   []load.Answer // of the first poll of a key...; the last one stays
	leases  []load.Lease  // of the polls that are answered with Busy; the last one stays
	left    time.Duration // with Busy and Resting
	held    bool          // with Unanswered: the acquire may have been granted
	loads   func(ctx context.Context, k *load.Key)
	garbled bool // values cannot be encoded
	verdict load.Verdict
	stale   bool                                   // a stale value may be served in place of an error
	block   func(ctx context.Context, step string) // at each step
}

// backend answers by a script. It notes what it is asked, with the keys of each step,
// but for polls and renewals.
type backend struct {
	script
	others map[string]script // of some keys

	mu      sync.Mutex // protects following
	steps   []string
	asked   map[string]int
	polled  map[string]int
	renewed int
	waiting int // waits that have begun and are not over
}

// play makes a backend. With others, some keys have scripts of their own.
func play(s script, others ...map[string]script) *backend {
	b := &backend{script: s, asked: map[string]int{}, polled: map[string]int{}}
	if len(b.answers) == 0 {
		b.answers = []load.Answer{load.Granted}
	}
	if len(others) > 0 {
		b.others = others[0]
	}
	return b
}

func (s *backend) is(k *load.Key) *script {
	if other, ok := s.others[k.Name]; ok {
		return &other
	}
	return &s.script
}

func (s *backend) step(ctx context.Context, name string, keys ...*load.Key) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	slices.Sort(names)
	s.mu.Lock()
	s.steps = append(s.steps, name+" "+strings.Join(names, ","))
	s.mu.Unlock()
	if s.block != nil {
		s.block(ctx, strings.Fields(name)[0])
	}
}

// log is what was asked so far.
func (s *backend) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.steps)
}

// count is how often a step was taken.
func (s *backend) count(step string) (n int) {
	for _, line := range s.log() {
		if strings.HasPrefix(line, step+" ") {
			n++
		}
	}
	return n
}

func (s *backend) Storable(k *load.Key) bool { return !s.is(k).refuse }

// turn is the next of some answers.
func (s *backend) turn(of map[string]int, key string, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	of[key]++
	return min(of[key], n) - 1
}

func (s *backend) Acquire(ctx context.Context, keys []*load.Key) {
	s.step(ctx, "acquire", keys...)
	for _, k := range keys {
		is := s.is(k)
		k.Answer, k.Left, k.Problem, k.Fallback = is.answers[s.turn(s.asked, k.Name, len(is.answers))], is.left, nil, is.stale
		k.Held = k.Answer == load.Granted
		s.found(k)
		if k.Answer == load.Unanswered {
			k.Problem, k.Held = errors.New("no Redis"), is.held
		}
	}
}

func (s *backend) found(k *load.Key) {
	if k.Answer == load.Served {
		k.Value, k.Size, k.Err, k.Absent = "found "+k.Name, 5, nil, false
	}
}

func (s *backend) Waiting(ctx context.Context, _ []*load.Key) (context.Context, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
	return ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting--
	}
}

func (s *backend) Poll(ctx context.Context, keys []*load.Key) {
	if s.block != nil {
		s.block(ctx, "poll")
	}
	for _, k := range keys {
		is := s.is(k)
		turn := s.turn(s.polled, k.Name, max(len(is.polls), len(is.leases)))
		k.Answer = is.polls[min(turn, len(is.polls)-1)]
		if k.Answer == load.Busy {
			k.Lease = is.leases[min(turn, len(is.leases)-1)]
		}
		s.found(k)
	}
}

func (s *backend) Renew(ctx context.Context, _ []*load.Key) bool {
	if s.block != nil {
		s.block(ctx, "renew")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed++
	return true
}

func (s *backend) Load(ctx context.Context, keys []*load.Key, _ load.Spare) {
	s.step(ctx, "load", keys...)
	for _, k := range keys {
		k.Value, k.Err = "loaded "+k.Name, nil
		if is := s.is(k); is.loads != nil {
			is.loads(ctx, k)
		}
	}
}

func (s *backend) Encode(k *load.Key) bool {
	if s.block != nil {
		s.block(context.Background(), "encode")
	}
	if s.is(k).garbled {
		return false
	}
	k.Size = 7
	return true
}

func (s *backend) Commit(ctx context.Context, keys []*load.Key) {
	s.step(ctx, "commit", keys...)
	for _, k := range keys {
		k.Verdict = s.is(k).verdict
		k.Proven = k.Verdict == load.Committed || k.Verdict == load.Vanished
	}
}

func (s *backend) Overtaken(k *load.Key) { s.step(context.Background(), "overtaken", k) }

func (s *backend) Release(ctx context.Context, keys []*load.Key, backoff time.Duration) {
	s.step(ctx, fmt.Sprintf("release %v:", backoff), keys...)
}

// room is a group with what its tests look at.
type room struct {
	*load.Group
	t      *testing.T
	places *load.Places
	hung   atomic.Int64 // loaders that hang now
}

// Close waits for the loaders, however long.
func (r *room) Close() { assert.Zero(r.t, r.Group.Close(context.Background())) }

func newRoom(t *testing.T, change ...func(*load.Settings)) *room {
	r := &room{t: t, places: load.NewPlaces(64, 0, func(bool) {})}
	s := load.Settings{
		Timeout: timeout, Wait: patience, Places: r.places, Refresh: load.NewSlots(64),
		Problem: func(key string, err error) error { return fmt.Errorf("%s: %w", key, err) },
		Hangs: func(began bool) {
			if began {
				r.hung.Add(1)
			} else {
				r.hung.Add(-1)
			}
		},
	}
	for _, f := range change {
		f(&s)
	}
	r.places = s.Places
	r.Group = load.NewGroup(s)
	t.Cleanup(func() {
		r.Close()
		r.places.Close()
		loading, _ := r.InProgress()
		assert.Zero(t, loading, "flights after Close")
		assert.Zero(t, r.hung.Load(), "loaders that hang after Close")
	})
	return r
}

// ended is how a caller's flight ended.
type ended struct {
	load.Result
	entitled bool
	left     error // why the caller did not wait for it
}

// request is what a caller is about.
type request struct {
	load.Caller
	keys   []string
	change func(*load.Key) // before the batch runs
}

// visit joins or leads the flights of keys, runs those that it leads, and returns at once:
// the channel gets how each has ended.
func (r *room) visit(ctx context.Context, backend load.Backend, about request) <-chan map[string]ended {
	r.t.Helper()
	if about.Began == 0 {
		about.Began = r.Now()
	}
	about.Batch = len(about.keys) > 1
	var led []*load.Key
	seats := map[string]load.Seat{}
	for _, key := range about.keys {
		seat, err := r.Join(key, about.Caller)
		if !assert.NoError(r.t, err) {
			continue
		}
		if seat.Role == load.Lead {
			led = append(led, keyOf(&seat))
			if about.change != nil {
				about.change(led[len(led)-1])
			}
		}
		seats[key] = seat
	}
	if len(led) > 0 {
		go r.Run(ctx, backend, false, led)
	}
	out := make(chan map[string]ended, 1)
	go func() {
		all := map[string]ended{}
		for key, seat := range seats {
			if err := r.Await(ctx, seat); err != nil {
				all[key] = ended{left: err}
				continue
			}
			result, entitled := seat.Result()
			all[key] = ended{Result: *result, entitled: entitled}
		}
		out <- all
	}()
	return out
}

// refresh runs flights of keys in the background. done is closed when the batch has
// returned.
func (r *room) refresh(backend load.Backend, keys ...string) (done chan struct{}) {
	r.t.Helper()
	var led []*load.Key
	for _, key := range keys {
		seat, ok := r.Begin(key, len(keys) > 1)
		if assert.True(r.t, ok) {
			led = append(led, keyOf(&seat))
		}
	}
	done = make(chan struct{})
	go func() {
		defer close(done)
		r.Run(r.t.Context(), backend, true, led)
	}()
	return done
}

// names are n keys.
func names(n int) []string { return strings.Split("abcdefgh", "")[:n] }

// each runs test for one key and for three, in a bubble.
func each(t *testing.T, test func(t *testing.T, keys []string)) {
	t.Helper()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d keys", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, names(n)) })
		})
	}
}

// pollsOf is how often key was polled.
func (s *backend) pollsOf(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polled[key]
}

// keyOf is the key that the leader at seat loads.
func keyOf(seat *load.Seat) *load.Key {
	k := new(load.Key)
	seat.Lead(k, nil)
	return k
}
