package conn

import (
	"bytes"
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Op is one script, or with a nil script one plain command whose key is its first
// argument.
type Op struct {
	Script *Script
	Args   []any // the whole command, if it is sent alone

	reply any
	err   error
}

// Get reads the string under key: its reply is nil where there is none.
func Get(key string) Op { return Op{Args: []any{"get", key}} }

// key is what the op is about; "" if that is the node itself.
func (o *Op) key() string {
	if o.Script == nil && len(o.Args) == 1 {
		return ""
	}
	if o.Script == nil {
		return o.Args[1].(string)
	}
	return o.Args[keyAt].(string)
}

// size is how many bytes of bodies the op has.
func (o *Op) size() (n int) {
	for _, a := range o.Args {
		if body, ok := a.([]byte); ok {
			n += len(body)
		}
	}
	return n
}

// own copies the bodies. Strings need none.
func (o *Op) own() {
	for i, a := range o.Args {
		if b, ok := a.([]byte); ok {
			o.Args[i] = bytes.Clone(b)
		}
	}
}

// Ops are sent together. Make them with [NewOps]; they are sent once.
type Ops struct {
	list   []Op
	failed []error // of those whose reply must not be looked at; nil: of none
	first  piece   // room for the only one there mostly is
	one    [1]Op   // the same
	label  string
}

// NewOps has room for about n operations, which errors call label.
func NewOps(label string, n int) *Ops {
	o := &Ops{label: label}
	if o.list = o.one[:0]; n > 1 {
		o.list = make([]Op, 0, n)
	}
	return o
}

// Add adds one.
func (o *Ops) Add(op Op) { o.list = append(o.list, op) }

// Reply is what became of the i-th. That there is nothing under a key is a nil reply, and
// no error.
func (o *Ops) Reply(i int) (any, error) {
	if o.failed != nil && o.failed[i] != nil {
		return nil, o.failed[i]
	}
	return o.list[i].reply, o.list[i].err
}

// NodeOf is the node that the i-th was sent to, once they were.
func (o *Ops) NodeOf(ctx context.Context, i int) *Node {
	return o.first.client.NodeOf(ctx, o.list[i].key())
}

// Err is the first error of any.
func (o *Ops) Err() error {
	for i := range o.list {
		if _, err := o.Reply(i); err != nil {
			return err
		}
	}
	return nil
}

// fail is the outcome of the n ops from the i-th on.
func (o *Ops) fail(i, n int, err error) {
	if o.failed == nil {
		o.failed = make([]error, len(o.list))
	}
	for k := range n {
		o.failed[i+k] = err
	}
}

// A budget is the time for a bounded number of ops, and of bytes of bodies unless
// it is one op: were it that of a whole batch, a batch that is large enough would
// never be done, however often it is sent.
const (
	pieceOps   = 256
	pieceBytes = 1 << 20
)

// pieceOf is how many of list, in which there is one at least, are sent within one budget.
func pieceOf(list []Op) int {
	n, size := 1, list[0].size()
	for n < min(len(list), pieceOps) {
		more := list[n].size()
		if size += more; more > 0 && size > pieceBytes {
			break
		}
		n++
	}
	return n
}

// Do sends o: one op alone, several in one pipeline, within budget; more than that is
// for in several, one after the other, each with the budget, and whatever became of those
// before. No ops cost nothing.
func (c *Client) Do(ctx context.Context, o *Ops) { c.DoWithin(ctx, c.scripts, o) }

// DoWithin is Do with another budget.
func (c *Client) DoWithin(ctx context.Context, budget time.Duration, o *Ops) {
	for at := 0; at < len(o.list); {
		n := pieceOf(o.list[at:])
		p := &o.first
		if at > 0 {
			p = &piece{}
		}
		*p = piece{label: o.label, client: c, ops: o.list[at : at+n]}
		start := time.Now()
		if err := c.send(ctx, budget, p); err != nil {
			o.fail(at, n, err)
		} else {
			p.explain(ctx, start, budget)
		}
		at += n
	}
}

// piece is what of some ops is sent within one budget. A script that must not be sent
// twice keeps the client from repeating any of its pipeline.
type piece struct {
	label  string
	client *Client
	ops    []Op
	gone   map[int]error // of ops that were cut out
}

func (p *piece) size() int { return len(p.ops) }

func (p *piece) keyAt(i int) string { return p.ops[i].key() }

func (p *piece) cut(i int, err error) {
	if p.gone == nil {
		p.gone = map[int]error{}
	}
	p.gone[i] = err
}

func (p *piece) outcome(i int) error { return p.ops[i].err }

func (p *piece) name() string { return p.label }

func (p *piece) own() {
	for i := range p.ops {
		p.ops[i].own()
	}
}

// explain is explain for each op, of a piece that was sent at start.
func (p *piece) explain(ctx context.Context, start time.Time, budget time.Duration) {
	spent := false
	for i := range p.ops {
		if err := p.ops[i].err; err != nil {
			spent = spent || time.Since(start) >= budget
			p.ops[i].err = p.client.explain(ctx, spent, budget, p.label, err)
		}
	}
}

// run sends all, and again what a server without the script refused. It fails only if
// that did for all keys alike.
func (p *piece) run(ctx context.Context, client redis.UniversalClient) error {
	if len(p.ops) == 1 {
		return p.ops[0].alone(ctx, client)
	}
	messages := p.group()
	for range resends {
		if err := p.exec(ctx, client, messages); err != nil {
			return err
		}
		if messages = p.resend(ctx, messages); len(messages) == 0 {
			return nil
		}
	}
	return p.exec(ctx, client, messages)
}
