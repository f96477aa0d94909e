package store

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Record is what was found under a key.
type Record struct {
	// Data is the whole record, nil if there is none. An empty string counts as
	// none, as it does for the scripts. Readers of one key may share it: it must
	// not be changed.
	Data []byte
	// PTTL is how long the record had left when it was read, at millisecond
	// resolution and never too long. Below zero: none, unknown, or no record.
	PTTL time.Duration
	// Foreign says that there is a Redis type other than a string.
	Foreign bool

	reply *reply // that Data is a part of; nil: it is a slice of its own
}

// Release says that the reader has done with the record, whose Data it must not
// touch any more. It is for readers who know that nobody else has it; a record that
// is not released is the collector's.
func (r Record) Release() { r.reply.release() }

// noTTL is the PTTL of a record that has none.
const noTTL = -1

// readCall is PTTL and GET of one key, in this order: if a write slips between
// them, what is left of the record is estimated too low, never too high.
type readCall struct {
	key  string
	pttl *redis.DurationCmd
	get  *redis.StringCmd
}

func (*readCall) name() string { return "read" }

func (*readCall) own() {}

func (c *readCall) keyOf() string { return c.key }

func (c *readCall) run(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	c.queue(ctx, pipe)
	if _, err := pipe.Exec(ctx); err != nil {
		if c.silent() {
			return err
		}
		return c.failure()
	}
	return nil
}

func (c *readCall) queue(ctx context.Context, pipe redis.Pipeliner) {
	c.pttl = pipe.PTTL(ctx, c.key)
	c.get = pipe.Get(ctx, c.key)
}

// silent reports whether neither command has an error. If the pipeline has one
// nevertheless then a hook has sent nothing.
func (c *readCall) silent() bool { return c.pttl.Err() == nil && c.get.Err() == nil }

// failure returns why nothing is known about the key, nil if something is. A
// reply that came is a reply: when one node of a cluster fails until the context
// ends, go-redis gives the context's error to the other nodes' commands too.
func (c *readCall) failure() error {
	if err := c.pttl.Err(); err != nil && c.pttl.Val() == 0 {
		return err
	}
	err := c.get.Err()
	if err == nil || err == redis.Nil || c.get.Val() != "" || wrongType(err) { //nolint:errorlint // bare
		return nil
	}
	return err
}

// record returns what was found. It is for calls without failure.
func (c *readCall) record() Record {
	data, err := c.get.Bytes()
	switch {
	case len(data) > 0:
		return Record{Data: data, PTTL: max(c.pttl.Val(), noTTL)}
	case err != nil && err != redis.Nil: //nolint:errorlint // bare
		return Record{PTTL: noTTL, Foreign: true}
	}
	return Record{PTTL: noTTL}
}

func wrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// Read returns what is under key. It is one round trip of two plain commands, and
// while many reads are on their way one that is shared with other readers; a
// missing key is no error. Errors: ctx's own, one that Is ErrBudget, ErrClosed,
// or the client's.
func (s *Store) Read(ctx context.Context, key string) (Record, error) {
	if s.closed.Load() {
		return Record{}, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	return s.lanes.read(ctx, key)
}

// ReadTogether is Read of several keys that one reader needs at the same moment,
// also shared with other readers while many are on their way. Element i of the
// result belongs to key i; if one key failed the error is its.
func (s *Store) ReadTogether(ctx context.Context, keys ...string) ([]Record, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.lanes.readTogether(ctx, keys)
}

// readAlone is a read with a pipeline of its own.
func (s *Store) readAlone(ctx context.Context, key string) (Record, error) {
	c := &readCall{key: key}
	if err := s.send(ctx, s.reads, c); err != nil {
		return Record{}, err
	}
	return c.record(), nil
}

// KeyErrors are the errors of a batch: element i belongs to key i and is nil if
// that key succeeded. At least one is not.
type KeyErrors []error

// Error joins the different ones.
func (e KeyErrors) Error() string { return errors.Join(e...).Error() }

// Unwrap gives [errors.Is] and [errors.As] those that are not nil.
func (e KeyErrors) Unwrap() []error {
	var all []error
	for _, err := range e {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// keyErrors returns errs as an error, nil if there is none among them.
func keyErrors(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return KeyErrors(errs)
		}
	}
	return nil
}

// readManyCall is a readCall per key in one pipeline.
type readManyCall struct {
	calls []readCall
	errs  []error
	gone  []error        // of keys that were cut out; nil: none was
	ask   asked          // what is asked for beside the keys
	time  *redis.TimeCmd // nil: it was not asked for
	info  *redis.StringCmd
}

func (*readManyCall) name() string { return "read" }

func (*readManyCall) own() {}

func (c *readManyCall) size() int { return len(c.calls) }

func (c *readManyCall) keyAt(i int) string { return c.calls[i].key }

func (c *readManyCall) cut(i int, err error) {
	if c.gone == nil {
		c.gone = make([]error, len(c.calls))
	}
	c.gone[i] = err
}

// isCut reports whether a key was cut out.
func (c *readManyCall) isCut(i int) bool { return c.gone != nil && c.gone[i] != nil }

func (c *readManyCall) outcome(i int) error {
	if c.errs == nil {
		return nil
	}
	return c.errs[i]
}

func (c *readManyCall) run(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	for i := range c.calls {
		if !c.isCut(i) {
			c.calls[i].queue(ctx, pipe)
		}
	}
	if c.ask.time {
		c.time = pipe.Time(ctx)
	}
	if c.ask.kind {
		c.info = pipe.Info(ctx, "server")
	}
	_, err := pipe.Exec(ctx)
	if err == nil {
		c.errs = c.gone
		return nil
	}
	return c.sort(err)
}

// told is what was answered beside the keys.
func (c *readManyCall) told() (t told) {
	if c.time != nil {
		t.now, t.time = c.time.Result()
	}
	if c.info != nil {
		t.text, t.kind = c.info.Result()
	}
	return t
}

// sort gives each key its error, and returns one that concerns them all.
func (c *readManyCall) sort(err error) error {
	failed, silent := 0, (c.time == nil || c.time.Err() == nil) && (c.info == nil || c.info.Err() == nil)
	c.errs = make([]error, len(c.calls))
	for i := range c.calls {
		if c.isCut(i) {
			c.errs[i] = c.gone[i]
			failed++
			continue
		}
		silent = silent && c.calls[i].silent()
		if c.errs[i] = c.calls[i].failure(); c.errs[i] != nil {
			failed++
		}
	}
	switch {
	case silent:
		return err
	case failed == len(c.calls):
		return c.errs[0]
	}
	return nil
}

// ReadMany is Read for several keys in one pipeline, which a cluster client
// splits into one round trip per node. Element i of the result belongs to key i.
//
// If only some keys failed the error is a [KeyErrors] and the other records are
// good; if all did there is no result, and the error is that of a Read. No keys
// cost nothing. From time to time the only node of a deployment is asked for the
// time in the same pipeline: see [Store.Latest].
func (s *Store) ReadMany(ctx context.Context, keys []string) ([]Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	start := time.Now()
	c := &readManyCall{calls: make([]readCall, len(keys)), ask: s.asks(start)}
	for i, key := range keys {
		c.calls[i].key = key
	}
	if err := s.send(ctx, s.reads, c); err != nil {
		return nil, err
	}
	explainAll(ctx, start, s.reads, c.name(), c.errs)
	s.hear(c.ask, c.told(), start)
	records := make([]Record, len(keys))
	for i := range c.calls {
		if c.errs == nil || c.errs[i] == nil {
			records[i] = c.calls[i].record()
		}
	}
	return records, keyErrors(c.errs)
}
