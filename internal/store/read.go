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
	// resolution. Below zero: none, unknown, or no record. It is
	// unknown where the clock of the node is: [Record.Left] needs one of them.
	PTTL time.Duration
	// Foreign says that there is a Redis type other than a string. Where the clock is
	// known such a record may look like none.
	Foreign bool

	clock *sample // of the node when it was read; nil: not known, or not to be relied on
	reply *reply  // that Data is a part of; nil: it is a slice of its own
}

// Release says that the reader has done with the record, whose Data it must not
// touch any more. It is for readers who know that nobody else has it; a record that
// is not released is the collector's.
func (r Record) Release() { r.reply.release() }

// noTTL is the PTTL of a record that has none, or that was read without it.
const noTTL = -1

// readCall is PTTL and GET of one key. If a write slips between them the PTTL is that of
// what was there before; the sealed soft TTL bounds what a reader makes of it. Where the
// node's clock is known it is a GET.
type readCall struct {
	key   string
	node  *node              // in a pipeline of several: that has the key
	clock *sample            // of the node
	pttl  *redis.DurationCmd // nil with a clock
	get   *redis.StringCmd
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
	if c.clock == nil {
		c.pttl = pipe.PTTL(ctx, c.key)
	}
	c.get = pipe.Get(ctx, c.key)
}

// silent reports whether no command has an error. If the pipeline has one
// nevertheless then a hook has sent nothing.
func (c *readCall) silent() bool { return (c.pttl == nil || c.pttl.Err() == nil) && c.get.Err() == nil }

// failure returns why nothing is known about the key, nil if something is. A
// reply that came is a reply: when one node of a cluster fails until the context
// ends, go-redis gives the context's error to the other nodes' commands too.
func (c *readCall) failure() error {
	if c.pttl != nil && c.pttl.Err() != nil && c.pttl.Val() == 0 {
		return c.pttl.Err()
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
	rec := Record{PTTL: noTTL, clock: c.clock}
	switch {
	case len(data) > 0 && c.pttl != nil:
		rec.PTTL = max(c.pttl.Val(), noTTL)
		rec.Data = data
	case len(data) > 0:
		rec.Data = data
	case err != nil && err != redis.Nil: //nolint:errorlint // bare
		rec.Foreign = true
	}
	return rec
}

func wrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// Read returns what is under key. It is one round trip: a GET, or while many reads are
// on their way to the only node of a deployment an MGET that is shared with other
// readers; of PTTL and GET in one pipeline where the node's clock is not known. A
// missing key is no error. Errors: ctx's own, one that Is ErrBudget, ErrClosed, or the
// client's.
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

// readAlone is a read with a command of its own.
func (s *Store) readAlone(ctx context.Context, key string) (Record, error) {
	now := time.Now()
	n := s.nodeOf(ctx, key)
	ask, held := n.asks(now), n.sample(now)
	switch {
	case ask.time:
		records, err := s.pipelined(ctx, []string{key}, question{node: n, ask: ask, key: key})
		if err != nil {
			return Record{}, oneError(err)
		}
		return records[0], nil
	case held != nil && s.locate.single():
		return s.getRaw(ctx, key, held)
	}
	c := &readCall{key: key, clock: held}
	if err := s.send(ctx, s.readBudget(ctx), c); err != nil {
		return Record{}, err
	}
	rec := c.record()
	rec.time(n, time.Now())
	return rec, nil
}

// time gives a record of n that was read without a clock the one that is known now: a
// sample says the latest that it can be, whenever it was asked for.
func (r *Record) time(n *node, now time.Time) {
	if r.clock == nil {
		r.clock = n.sample(now)
	}
}

// readMany is ReadMany, with the buffer that the records are parts of, if they are.
func (s *Store) readMany(ctx context.Context, keys []string) ([]Record, *reply, error) {
	now := time.Now()
	if s.locate.single() {
		n := s.guards.only
		ask, held := n.asks(now), n.sample(now)
		if !ask.time && held != nil && !n.noMGet.holds() {
			return s.mget(ctx, keys, n, held)
		}
		records, err := s.pipelined(ctx, keys, question{node: n, ask: ask, key: keys[0]})
		return records, nil, err
	}
	records, err := s.pipelined(ctx, keys, question{})
	return records, nil, err
}

// oneError is the first error of a batch that belong to one reader.
func oneError(err error) error {
	if all, ok := err.(KeyErrors); ok { //nolint:errorlint // bare, from pipelined
		return all.Unwrap()[0]
	}
	return err
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
	calls     []readCall
	errs      []error
	gone      []error // of keys that were cut out; nil: none was
	questions []question
	single    bool // the client has one node
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
	for i := range c.questions {
		if q := &c.questions[i]; !c.isCut(q.at) {
			q.queue(ctx, pipe, c.single)
		}
	}
	_, err := pipe.Exec(ctx)
	if err == nil {
		c.errs = c.gone
		return nil
	}
	return c.sort(err)
}

// sort gives each key its error, and returns one that concerns them all.
func (c *readManyCall) sort(err error) error {
	failed, silent := 0, true
	for i := range c.questions {
		silent = silent && c.questions[i].silent()
	}
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

// ReadMany is Read for several keys in one exchange, which a cluster client splits into
// one round trip per node. It is not shared with other readers, and what it returns is
// not to be released. Element i of the result belongs to key i.
//
// If only some keys failed the error is a [KeyErrors] and the other records are
// good; if all did there is no result, and the error is that of a Read. No keys
// cost nothing. From time to time a node is asked for the time in the same pipeline.
func (s *Store) ReadMany(ctx context.Context, keys []string) ([]Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	records, _, err := s.readMany(ctx, keys)
	return records, err
}

// pipelined is a pipeline of reads of keys. On the only node of a deployment it asks q
// beside them; elsewhere each node is asked that should be.
func (s *Store) pipelined(ctx context.Context, keys []string, q question) ([]Record, error) {
	start := time.Now()
	c := &readManyCall{calls: make([]readCall, len(keys)), single: s.locate.single()}
	if q.ask.time {
		c.questions = []question{q}
	}
	var last *node
	var held *sample
	for i, key := range keys {
		n := q.node
		if n == nil {
			n = s.nodeOf(ctx, key)
		}
		if n != last {
			last, held = n, n.sample(start)
			if ask := (asked{}); q.node == nil {
				if ask = n.asks(start); ask.time {
					c.questions = append(c.questions, question{node: n, ask: ask, key: key, at: i})
				}
			}
		}
		c.calls[i] = readCall{key: key, node: n, clock: held}
	}
	budget := s.readBudget(ctx)
	if err := s.send(ctx, budget, c); err != nil {
		return nil, err
	}
	explainAll(ctx, start, budget, c.name(), c.errs)
	for i := range c.questions {
		if q := &c.questions[i]; !c.isCut(q.at) {
			t := q.told()
			t.hear(start)
		}
	}
	records, now := make([]Record, len(keys)), time.Now()
	for i := range c.calls {
		if c.errs == nil || c.errs[i] == nil {
			records[i] = c.calls[i].record()
			records[i].time(c.calls[i].node, now)
		}
	}
	return records, keyErrors(c.errs)
}
