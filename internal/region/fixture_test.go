package region_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

var (
	errRefused = errors.New("ERR refused")
	errDial    = &net.OpError{Op: "dial", Err: errors.New("no route")}

	hour = &expiry.Policy{Fresh: time.Hour, Jitter: -1}
)

// world is a region on a Redis of its own, in a bubble.
type world struct {
	*region.Region
	t      *testing.T
	rdb    *cachetest.Server // beside it: no fault is in its way
	wire   *wire
	failed []telemetry.Op // what Failed heard of, on the test's goroutine
	shut   func()
}

// in runs a test in a bubble.
func in(t *testing.T, name string, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		b := cachetest.NewBubble(t)
		synctest.Test(t, func(t *testing.T) {
			w := &world{t: t, rdb: b.Redis(t), wire: &wire{}}
			w.open(b.Redis(t))
			test(t, w)
		})
	})
}

func (w *world) open(rdb *cachetest.Server) {
	space, err := keyspace.New("test")
	require.NoError(w.t, err)
	recorder := telemetry.New(telemetry.Options{Logger: slog.New(slog.DiscardHandler)})
	w.Region = region.New(region.Options{
		Space: space, Class: hour, LoadTimeout: time.Second, Logger: recorder.Logger, Telemetry: &recorder,
		Loads: load.Settings{
			Timeout: time.Second, Wait: time.Second, Places: load.NewPlaces(4, 0, func(bool) {}), Refresh: load.NewSlots(4),
			Problem: func(_ string, err error) error { return err }, Hangs: func(bool) {},
		},
		Failed: func(op telemetry.Op, errs ...error) {
			if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
				w.wire.note(func() { w.failed = append(w.failed, op) })
			}
		},
		Refused: func(string) {},
	})
	rdb.AddHook(w.wire)
	w.Store = store.New(rdb, store.Options{})
	w.shut = sync.OnceFunc(func() {
		w.Background.Shut()
		w.Flights.Close(context.Background())
		w.Flights.Places.Close()
		w.Background.Close()
		w.Pending.Close()
		assert.NoError(w.t, w.Store.Close())
	})
	w.t.Cleanup(w.shut)
}

// keep stores an entry with the tags, stamped with the tokens of now.
func (w *world) keep(key string, tags ...region.Tag) {
	w.t.Helper()
	stamp, err := w.Capture(w.t.Context(), tags, hour)
	require.NoError(w.t, err)
	w.keepStamped(key, stamp)
}

func (w *world) keepStamped(key string, stamp region.Stamp) {
	w.t.Helper()
	e := w.entry(key, stamp)
	entries := []store.Entry{w.ToStore(e, key, w.RedisKey(key))}
	w.Store.Set(w.t.Context(), entries)
	require.NoError(w.t, entries[0].Err)
}

// entry is one whose value is its key.
func (w *world) entry(key string, stamp region.Stamp) *region.Entry {
	w.t.Helper()
	e := &region.Entry{Class: hour, Stamp: stamp}
	data, err := w.Open(e, w.RedisKey(key))
	require.NoError(w.t, err)
	e.Seal(append(data, key...), w.RedisKey(key))
	return e
}

// put stores a write that is not flushed yet, under a clear token of long ago.
func (w *world) put(key string) {
	w.t.Helper()
	rec := w.entry(key, region.Stamp{Clear: older}).Record()
	envelope.AppendHeader(rec[:0], envelope.Header{Kind: envelope.Dirty, CID: envelope.NewToken()})
	w.rdb.Set(w.t.Context(), w.RedisKey(key), rec, 0)
}

// look is a look-up of keys by a call that names tags: what is found of each, or why not.
func (w *world) look(keys []string, tags ...region.Tag) (states []record.State, errs []error) {
	redisKeys := make([]string, len(keys))
	for i, key := range keys {
		redisKeys[i] = w.RedisKey(key)
	}
	records, tokens := w.Read(w.t.Context(), redisKeys, tags)
	found, errs := make([]*record.Record, len(keys)), make([]error, len(keys))
	for i := range records {
		if errs[i] = records[i].Err; errs[i] == nil {
			rec := w.Judge(w.t.Context(), hour, redisKeys[i], &records[i])
			found[i] = &rec
		}
	}
	w.Verify(w.t.Context(), found, tokens, errs)
	states = make([]record.State, len(keys))
	for i, rec := range found {
		if rec != nil {
			states[i] = rec.State
		}
	}
	return states, errs
}

// tokenAt is what is under a token's key.
func (w *world) tokenAt(key string) string { return w.rdb.Get(w.t.Context(), key).Val() }

// clearHeld reports whether a lease of the clear token holds.
func (w *world) clearHeld() bool { _, held := w.Clear.Current(); return held }

// wire is the way to Redis. It knows a command by the keys and other texts in it.
type wire struct {
	mu       sync.Mutex // protects following
	refused  map[string]error
	before   map[string]func() // runs before a command with a text is sent: "get text"
	sent     map[string]int    // commands
	together int               // pipelines
}

func (w *wire) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// refuse has commands fail with err that hold any of the texts, and are not sent; nil mends that.
func (w *wire) refuse(err error, texts ...string) {
	w.note(func() {
		w.refused = map[string]error{}
		for _, text := range texts {
			w.refused[text] = err
		}
	})
}

// meet has f run before each command of that name with text.
func (w *wire) meet(command, text string, f func()) {
	w.note(func() { w.before = map[string]func(){command + " " + text: f} })
}

// count is how many commands with text f sends, and how many pipelines.
func (w *wire) count(text string, f func()) (commands, pipelines int) {
	w.note(func() { w.sent, w.together = map[string]int{}, 0 })
	f()
	w.note(func() { commands, pipelines = w.sent[text], w.together })
	return commands, pipelines
}

func (*wire) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wire) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.note(func() { w.together++ })
		if err := w.fate(cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (w *wire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		w.note(func() { w.together++ })
		var failure error
		passed := make([]redis.Cmder, 0, len(cmds))
		for _, cmd := range cmds {
			if err := w.fate(cmd); err != nil {
				cmd.SetErr(err)
				failure = err
			} else {
				passed = append(passed, cmd)
			}
		}
		if len(passed) == 0 {
			return failure
		}
		return cmp.Or(next(ctx, passed), failure)
	}
}

// fate is why cmd fails, if it does.
func (w *wire) fate(cmd redis.Cmder) (err error) {
	for _, arg := range cmd.Args()[1:] {
		text, _ := arg.(string)
		var meets func()
		w.note(func() { meets = w.before[cmd.Name()+" "+text] })
		if meets != nil {
			meets()
		}
		w.note(func() {
			if w.sent != nil && cmd.Name() != "pttl" {
				w.sent[text]++
			}
			if err == nil {
				err = w.refused[text]
			}
		})
	}
	return err
}

// values are texts: the value of a key is its name.
type values struct {
	w      *world
	during func() // within the loader's call
	err    error  // the loader's
}

func (v *values) Load(_ context.Context, keys []*load.Key, _ load.Spare) {
	if v.during != nil {
		v.during()
	}
	for _, k := range keys {
		if k.Err = v.err; v.err == nil {
			k.Value = k.Name
		}
	}
}

func (*values) Decode(k *load.Key, rec *record.Record) { k.Value = string(rec.Body.Payload) }

func (v *values) Encode(k *load.Key, e *region.Entry, redisKey string) bool {
	data, err := v.w.Open(e, redisKey)
	if err == nil {
		e.Seal(append(data, k.Value.(string)...), redisKey)
	}
	return err == nil
}

func (*values) Keep(*load.Key, *region.Entry, *expiry.Policy, time.Duration, region.Moment) {}

// load is a call that loads keys, of which nothing was found, under a lease.
func (w *world) load(v *values, keys []string, tags ...region.Tag) []load.Result {
	w.t.Helper()
	v.w = w
	seats, led := make([]load.Seat, len(keys)), make([]*load.Key, len(keys))
	for i, key := range keys {
		var err error
		seats[i], err = w.Flights.Join(key, load.Caller{Began: w.Flights.Now()})
		require.NoError(w.t, err)
		require.Equal(w.t, load.Lead, seats[i].Role)
		led[i] = region.KeyOf(&seats[i], region.Wanted{Class: hour, Tags: tags}, w.RedisKey(key), &record.Record{}, false)
	}
	w.Flights.Run(w.t.Context(), w.Fill(v), false, led)
	results := make([]load.Result, len(keys))
	for i := range seats {
		require.NoError(w.t, w.Flights.Await(w.t.Context(), seats[i]))
		r, _ := seats[i].Result()
		results[i] = *r
	}
	return results
}

// tags are the tags of these names.
func (w *world) tags(names ...string) (all []region.Tag) {
	for _, name := range names {
		all = append(all, w.TagOf(name))
	}
	return all
}

// older is a clear token that Redis had long ago.
var older = envelope.Token([]byte("0000000000001AAA"))
