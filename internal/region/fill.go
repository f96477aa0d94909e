package region

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Values are what the entries of a load hold: what of it knows their type. All of it may
// call user code, and turns a panic into an error.
type Values interface {
	// Load calls the loader: see [load.Backend].
	Load(ctx context.Context, keys []*load.Key, spare load.Spare)
	// Decode decodes a record that may be served into k's Value, Size, Err and Absent. One
	// that does not decode is made so: see [record.Record.Undecodable].
	Decode(k *load.Key, rec *record.Record)
	// Encode makes the record of e, whose value is k's. It reports false if it cannot.
	Encode(k *load.Key, e *Entry, redisKey string) bool
	// Keep puts what was stored into the L1: it was current at then.
	Keep(k *load.Key, e *Entry, class *expiry.Policy, left time.Duration, then Moment)
}

// fills is what a batch asks of Redis about a region's entries: a [load.Backend].
type fills struct {
	*Region
	Values
}

// Load is that of the values.
func (b *fills) Load(ctx context.Context, keys []*load.Key, spare load.Spare) {
	b.Values.Load(ctx, keys, spare)
}

// Fill is a backend for loads of entries that hold values.
func (r *Region) Fill(values Values) load.Backend { return &fills{r, values} }

// fill is an entry on its way into Redis: what a batch knows of one key.
type fill struct {
	load.Key

	wanted    Wanted
	redisKey  string
	seen      record.Record  // as last read: what acquire compares the record with
	token     envelope.Token // the lease's, unique per acquire
	grantedAt int64          // Redis time of the grant in ms
	grantedBy time.Time      // when that was known
	empty     bool           // there was no value: the record is the lease alone
	tags      []Tag          // those of the call and of the record that was seen
	asking    Moment         // before the acquire, for the L1
	epoch     int64          // of the queue, before the record was read
	stamp     Stamp          // captured with the lease, before the loader is called
	entry     Entry
}

func fillOf(k *load.Key) *fill { return k.Item.(*fill) }

// KeyOf is a key on its way into Redis, whose flight seat leads, after a look-up that has
// seen rec under redisKey. bypass says that it is loaded and not stored.
func KeyOf(seat *load.Seat, w Wanted, redisKey string, rec *record.Record, bypass bool) *load.Key {
	f := &fill{wanted: w, redisKey: redisKey, seen: *rec}
	seat.Lead(&f.Key, f)
	f.Bypass = bypass
	f.Cost = expiry.Cost(rec.Body.Delta, rec.Body.EWMA)
	f.note()
	return &f.Key
}

// note tells the batch what the record, as last read, means to it.
func (f *fill) note() {
	f.Barred = !f.seen.State.Replaceable()
	f.Fallback = f.seen.State == record.StaleIfError
}

// Storable reports whether an entry of k may be made: not while an invalidation of it is
// queued. It works out the tags that it will have.
func (b *fills) Storable(k *load.Key) bool {
	f := fillOf(k)
	var fit bool
	if f.tags, fit = b.TagsInPlaceOf(&f.seen, f.wanted.Tags); !fit {
		f.seen.State = record.Invalid
		f.note()
	}
	if b.Obstacle(k.Name, f.tags) != "" {
		return false
	}
	b.Flights.Depend(k, tagIDs(f.tags))
	return true
}

// Encode makes k's entry.
func (b *fills) Encode(k *load.Key) bool {
	f := fillOf(k)
	cost := k.Asked + k.Took
	f.entry = Entry{
		Class: f.wanted.Class, Stamp: f.stamp, Absent: k.Absent, LoadedAt: f.grantedAt, Began: k.Began, Delta: cost, EWMA: cost,
	}
	if f.seen.Body.EWMA > 0 {
		f.entry.EWMA = expiry.Average(cost, f.seen.Body.EWMA)
	}
	if !b.Values.Encode(k, &f.entry, f.redisKey) {
		return false
	}
	k.Size = f.entry.Size
	return true
}

// Overtaken counts a value that is not stored.
func (b *fills) Overtaken(k *load.Key) { b.Refused(k.Name) }

// Commit sends the entries, and reads the tokens again that they depend on.
func (b *fills) Commit(ctx context.Context, keys []*load.Key) {
	commits := make([]store.Commit, len(keys))
	ctx, span := b.Telemetry.Start(ctx, telemetry.OpPut)
	sent := time.Now()
	for i, k := range keys {
		commits[i] = b.commitOf(fillOf(k), sent)
	}
	got := Tokens{tags: tagsOf(keys)}
	reread := TagKeys(got.tags)
	clear, held := b.Clear.Current()
	if got.clear, got.exact = clear, !held; got.exact {
		reread = append(reread, b.Space.Clear())
	}
	if tokens := b.Store.Commit(ctx, commits, reread); tokens == nil {
		got = Tokens{clear: clear} // nothing was heard
	} else if got.values = tokens[:len(got.tags)]; got.exact {
		got.clear = tokens[len(got.tags)]
		b.Clear.observe(got.clear, sent)
	}
	b.committed(ctx, span, keys, commits)
	for i, k := range keys {
		b.conclude(fillOf(k), &commits[i], &got, sent)
	}
}

// committed reports what became of commits.
func (b *fills) committed(ctx context.Context, span trace.Span, keys []*load.Key, commits []store.Commit) {
	errs := ErrorsOf(commits, func(c *store.Commit) error { return c.Err })
	b.Telemetry.EndPuts(ctx, span, len(keys), func(i int) telemetry.Put { return fillOf(keys[i]).entry.Put(keys[i].Name) }, errs, nil)
	b.failed(telemetry.OpPut, errs...)
}

func (b *fills) commitOf(f *fill, now time.Time) store.Commit {
	soft, life := f.entry.Times(now)
	f.entry.lives = life > 0
	c := store.Commit{
		Key: f.redisKey, Token: f.token, TTL: life, Soft: soft, Version: f.entry.Version,
		Record: f.entry.record, Absent: f.entry.Absent, Notice: b.Notice(f.Name),
	}
	if f.empty {
		c.Until = f.grantedAt + load.LeaseTime.Milliseconds()
		c.Now = f.grantedAt + now.Sub(f.grantedBy).Milliseconds()
	}
	return c
}

// conclude says what became of a commit, and whether it is proven: with the tokens that
// were read behind the seal. Then it goes into the L1: it was current when it was sent.
func (b *fills) conclude(f *fill, c *store.Commit, got *Tokens, sent time.Time) {
	f.Verdict, f.Problem = f.verdictOf(c), c.Err
	switch f.Verdict {
	case load.Committed, load.Vanished:
		f.Proven, _ = got.valid(f.stamp)
	case load.Refused, load.Older:
		b.Refused(f.Name)
	}
	if f.Proven && b.Local != nil {
		then := Moment{Epoch: f.asking.Epoch, At: mono.Now() - int64(time.Since(sent))}
		b.Keep(&f.Key, &f.entry, f.wanted.Class, f.entry.Soft-sent.Sub(f.entry.Began), then)
	}
}

// verdictOf is what became of a commit.
func (f *fill) verdictOf(c *store.Commit) load.Verdict {
	switch {
	case c.Err != nil:
		return load.Unknown
	case c.Verdict == store.Older:
		return load.Older
	case c.Verdict != store.Committed:
		return load.Refused
	case !f.entry.lives:
		return load.Vanished
	}
	return load.Committed
}
