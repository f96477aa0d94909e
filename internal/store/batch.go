package store

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// evalMany runs sc on each key, with the arguments that args gives it, as together
// does. The scripts answer a number between lo and hi.
func evalMany[A ~int8](
	ctx context.Context, s *Store, sc *script, lo, hi int64, keys []string, args func(i int) []any,
) ([]A, []error) {
	if len(keys) == 0 {
		return nil, nil
	}
	orders := make([]order, len(keys))
	for i, key := range keys {
		orders[i] = order{script: sc, args: sc.evalsha(key, args(i))}
	}
	replies, errs := s.eachOf(ctx, sc.name, orders)
	answers, failed := make([]A, len(keys)), false
	for i := range keys {
		if errs[i] == nil {
			n, ok := replies[i].(int64)
			if !ok || n < lo || n > hi {
				errs[i] = &AnswerError{Script: sc.name, Answer: replies[i]}
			}
			answers[i] = A(n)
		}
		failed = failed || errs[i] != nil
	}
	if !failed {
		errs = nil
	}
	return answers, errs
}

// order is what a batch does with one key: a script, or with a nil script a plain command
// whose key is its first argument.
type order struct {
	script *script
	args   []any // the whole command, if it is sent alone
}

// get orders the string under key: its reply is nil where there is none.
func get(key string) order { return order{args: []any{"get", key}} }

// key is what the order is about; "" if that is the node itself.
func (o *order) key() string {
	if o.script == nil && len(o.args) == 1 {
		return ""
	}
	if o.script == nil {
		return o.args[1].(string)
	}
	return o.args[keyAt].(string)
}

// batchCall is several orders in one pipeline. A script that must not be sent
// twice keeps the client from repeating any of them.
type batchCall struct {
	label   string
	store   *Store // that sends it
	orders  []order
	replies []any
	errs    []error
	gone    map[int]error // of orders that were cut out
}

func (c *batchCall) size() int { return len(c.orders) }

func (c *batchCall) keyAt(i int) string { return c.orders[i].key() }

func (c *batchCall) cut(i int, err error) {
	if c.gone == nil {
		c.gone = map[int]error{}
	}
	c.gone[i] = err
}

func (c *batchCall) outcome(i int) error { return c.errs[i] }

func (c *batchCall) name() string { return c.label }

// own copies the bodies. Strings need none.
func (c *batchCall) own() {
	for _, o := range c.orders {
		for i, a := range o.args {
			if b, ok := a.([]byte); ok {
				o.args[i] = bytes.Clone(b)
			}
		}
	}
}

// A budget is the time for a bounded number of orders, and of bytes of bodies unless
// it is one order: were it that of a whole batch, a batch that is large enough would
// never be done, however often it is sent.
const (
	pieceOrders = 256
	pieceBytes  = 1 << 20
)

// pieceOf is how many of orders, of which there is one at least, are sent within one
// budget.
func pieceOf(orders []order) int {
	n, size := 1, orders[0].size()
	for n < min(len(orders), pieceOrders) {
		more := orders[n].size()
		if size += more; more > 0 && size > pieceBytes {
			break
		}
		n++
	}
	return n
}

// together sends orders in one pipeline within budget; more than that is for in
// several, one after the other, each with the budget, and whatever became of those
// before. The error is that of all, if they are one piece, or else the first of any.
func (s *Store) together(ctx context.Context, label string, orders []order) (replies []any, errs []error, err error) {
	n := pieceOf(orders)
	if n == len(orders) {
		return s.piece(ctx, label, orders)
	}
	replies, errs = make([]any, 0, len(orders)), make([]error, 0, len(orders))
	for ; len(orders) > 0; orders = orders[n:] {
		n = pieceOf(orders)
		some, failed, err := s.piece(ctx, label, orders[:n])
		if err != nil {
			some, failed = make([]any, n), slices.Repeat([]error{err}, n)
		}
		replies, errs = append(replies, some...), append(errs, failed...)
	}
	return replies, errs, nil
}

// piece sends orders in one pipeline within budget.
func (s *Store) piece(ctx context.Context, label string, orders []order) (replies []any, errs []error, err error) {
	start := time.Now()
	c := &batchCall{label: label, store: s, orders: orders}
	if err := s.send(ctx, s.scripts, c); err != nil {
		return nil, nil, err
	}
	explainAll(ctx, start, s.scripts, label, c.errs)
	return c.replies, c.errs, nil
}
