package conn

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Value is what was found under a key.
type Value struct {
	// Data is the string, nil if there is none. An empty one counts as none. Readers of
	// one key may share it: it must not be changed.
	Data []byte
	// PTTL is how long it had left when it was read, at millisecond resolution. Below
	// zero: none, unknown, or no value. It is unknown where Clock is known.
	PTTL time.Duration
	// Foreign says that there is a Redis type other than a string. Where the clock is
	// known such a value may look like none.
	Foreign bool
	// Clock is that of the node when it was read; nil: not known, or not to be relied on.
	Clock *Sample
	// Err is why nothing is known about the key: the context's own error, one that Is
	// ErrBudget, ErrOpen, ErrClosed, or the client's. A missing key is none.
	Err error

	reply *reply // that Data is a part of; nil: it is a slice of its own
}

// Release says that its reader has done with the value, whose Data it must not
// touch any more. It is for readers who know that nobody else has it; a value that
// is not released is the collector's.
func (v *Value) Release() {
	if v.Data != nil {
		v.reply.release()
	}
}

// NoTTL is the PTTL of a value that has none, or that was read without it.
const NoTTL = -1

// Read returns what is under keys, and behind that under those beside them, in one
// exchange, which a client of several nodes splits into one for each. One key is read,
// with those beside it, together with what other readers want, while many reads are on
// their way. From time to time a node is asked for its time in the same pipeline.
//
// It is GET or MGET where the clock of the only node of a deployment is known, else a
// pipeline of GETs, or of PTTL and GET where the node's clock is not known.
func (c *Client) Read(ctx context.Context, keys, beside []string) []Value {
	n := len(keys) + len(beside)
	if n == 0 {
		return nil
	}
	if c.closed.Load() {
		return unread(n, ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return unread(n, err)
	}
	if len(beside) > 0 {
		keys = append(append(make([]string, 0, n), keys...), beside...)
	}
	if n-len(beside) == 1 {
		return c.batcher.read(ctx, keys)
	}
	return released(c.read(ctx, keys))
}

// unread are n values of which nothing is known.
func unread(n int, err error) []Value {
	values := make([]Value, n)
	for i := range values {
		values[i] = Value{PTTL: NoTTL, Err: err}
	}
	return values
}

// released gives back what nobody will: the part of a reply that says there is nothing.
func released(values []Value) []Value {
	for i := range values {
		if values[i].Data == nil {
			values[i].reply.release()
		}
	}
	return values
}

// read reads keys by themselves. Each of the values has a part of a reply, or none.
func (c *Client) read(ctx context.Context, keys []string) []Value {
	if !c.locate.single() {
		return c.pipelined(ctx, keys, sampling{})
	}
	now, n := time.Now(), c.breakers.only
	ask, held := n.sampling(now), n.Sample(now)
	if !ask.asks() && held != nil && (len(keys) == 1 || !n.Knows(NoMGet)) {
		return c.readRaw(ctx, keys, n, held)
	}
	return c.pipelined(ctx, keys, ask)
}

// keyRead is PTTL and GET of one key. If a write slips between them the PTTL is that of
// what was there before; the sealed soft TTL bounds what a reader makes of it. Where the
// node's clock is known it is a GET.
type keyRead struct {
	key   string
	node  *Node              // that has the key
	clock *Sample            // of the node
	pttl  *redis.DurationCmd // nil with a clock
	get   *redis.StringCmd
}

func (r *keyRead) queue(ctx context.Context, pipe redis.Pipeliner) {
	if r.clock == nil {
		r.pttl = pipe.PTTL(ctx, r.key)
	}
	r.get = pipe.Get(ctx, r.key)
}

// unsaid reports whether no command has an error. If the pipeline has one
// nevertheless then a hook has sent nothing.
func (r *keyRead) unsaid() bool { return (r.pttl == nil || r.pttl.Err() == nil) && r.get.Err() == nil }

// failure returns why nothing is known about the key, nil if something is. A
// reply that came is a reply: when one node of a cluster fails until the context
// ends, go-redis gives the context's error to the other nodes' commands too.
func (r *keyRead) failure() error {
	if r.pttl != nil && r.pttl.Err() != nil && r.pttl.Val() == 0 {
		return r.pttl.Err()
	}
	err := r.get.Err()
	if err == nil || err == redis.Nil || r.get.Val() != "" || wrongType(err) { //nolint:errorlint // bare
		return nil
	}
	return err
}

// value returns what was found. It is for those without failure. A value that was read
// without a clock has the one that is known now: a sample says the latest that it can be,
// whenever it was asked for.
func (r *keyRead) value(now time.Time) Value {
	data, err := r.get.Bytes()
	v := Value{PTTL: NoTTL, Clock: r.clock}
	switch {
	case len(data) > 0:
		if v.Data = data; r.pttl != nil {
			v.PTTL = max(r.pttl.Val(), NoTTL)
		}
	case err != nil && err != redis.Nil: //nolint:errorlint // bare
		v.Foreign = true
	}
	if v.Clock == nil {
		v.Clock = r.node.Sample(now)
	}
	return v
}

func wrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// readCall is a pipeline of reads.
type readCall struct {
	keys    []keyRead
	errs    []error    // nil: there are none
	gone    []error    // of keys that were cut out; nil: none was
	times   []sampling // what is asked beside
	single  bool       // the client has one node
	one     [1]keyRead // room for the only one
	oneTime [1]sampling
}

func (*readCall) name() string { return "read" }

func (*readCall) own() {}

func (c *readCall) size() int { return len(c.keys) }

func (c *readCall) keyAt(i int) string { return c.keys[i].key }

func (c *readCall) cut(i int, err error) {
	if c.gone == nil {
		c.gone = make([]error, len(c.keys))
	}
	c.gone[i] = err
}

// isCut reports whether a key was cut out.
func (c *readCall) isCut(i int) bool { return c.gone != nil && c.gone[i] != nil }

func (c *readCall) outcome(i int) error {
	if c.errs == nil {
		return nil
	}
	return c.errs[i]
}

func (c *readCall) run(ctx context.Context, client redis.UniversalClient) error {
	pipe := client.Pipeline()
	for i := range c.keys {
		if !c.isCut(i) {
			c.keys[i].queue(ctx, pipe)
		}
	}
	for i := range c.times {
		if t := &c.times[i]; !c.isCut(t.at) {
			t.queue(ctx, pipe, c.single)
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
func (c *readCall) sort(err error) error {
	failed, unsaid := 0, true
	for i := range c.times {
		unsaid = unsaid && c.times[i].unsaid()
	}
	c.errs = make([]error, len(c.keys))
	for i := range c.keys {
		if c.isCut(i) {
			c.errs[i] = c.gone[i]
			failed++
			continue
		}
		unsaid = unsaid && c.keys[i].unsaid()
		if c.errs[i] = c.keys[i].failure(); c.errs[i] != nil {
			failed++
		}
	}
	switch {
	case unsaid:
		return err
	case failed == len(c.keys):
		return c.errs[0]
	}
	return nil
}

// pipelined is a pipeline of reads of keys. On the only node of a deployment it asks ask
// beside them; elsewhere each node is asked that should be.
func (c *Client) pipelined(ctx context.Context, keys []string, ask sampling) []Value {
	start := time.Now()
	call := c.newReadCall(ctx, keys, ask, start)
	budget := c.readBudget(ctx)
	if err := c.send(ctx, budget, call); err != nil {
		return unread(len(keys), err)
	}
	c.explainAll(ctx, start, budget, call.name(), call.errs)
	for i := range call.times {
		if t := &call.times[i]; !call.isCut(t.at) {
			t.finish()
		}
	}
	values, now := make([]Value, len(keys)), time.Now()
	for i := range values {
		if err := call.outcome(i); err != nil {
			values[i] = Value{PTTL: NoTTL, Err: err}
		} else {
			values[i] = call.keys[i].value(now)
		}
	}
	return values
}

// newReadCall is the pipeline for keys at now.
func (c *Client) newReadCall(ctx context.Context, keys []string, ask sampling, now time.Time) *readCall {
	call := &readCall{single: c.locate.single()}
	if call.keys = call.one[:]; len(keys) > 1 {
		call.keys = make([]keyRead, len(keys))
	}
	if call.times = call.oneTime[:0]; ask.asks() {
		call.times = append(call.times, ask)
	}
	var last *Node
	var held *Sample
	for i, key := range keys {
		n := c.NodeOf(ctx, key)
		if n != last {
			last, held = n, n.Sample(now)
			if !call.single {
				if ask := n.sampling(now); ask.asks() {
					ask.key, ask.at = key, i
					call.times = append(call.times, ask)
				}
			}
		}
		call.keys[i] = keyRead{key: key, node: n, clock: held}
	}
	return call
}
