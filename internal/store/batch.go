package store

import (
	"bytes"
	"context"
	"time"
)

// evalMany runs sc on each key, with the arguments that args gives it, in one
// pipeline. The scripts answer a number between lo and hi.
func evalMany[A ~int8](
	ctx context.Context, s *Store, sc *script, lo, hi int64, keys []string, args func(i int) []any,
) ([]A, []error) {
	if len(keys) == 0 {
		return nil, nil
	}
	start := time.Now()
	orders := make([]order, len(keys))
	for i, key := range keys {
		orders[i] = order{script: sc, args: sc.evalsha(key, args(i))}
	}
	c := &batchCall{label: sc.name, store: s, orders: orders}
	answers, errs := make([]A, len(keys)), make([]error, len(keys))
	if err := s.send(ctx, s.scripts, c); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return answers, errs
	}
	explainAll(ctx, start, s.scripts, sc.name, c.errs)
	failed := false
	for i := range keys {
		if errs[i] = c.errs[i]; errs[i] == nil {
			n, ok := c.replies[i].(int64)
			if !ok || n < lo || n > hi {
				errs[i] = &AnswerError{Script: sc.name, Answer: c.replies[i]}
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

// together sends orders in one pipeline within budget. The error is that of all,
// or else the first of any.
func (s *Store) together(ctx context.Context, label string, orders []order) (replies []any, errs []error, err error) {
	start := time.Now()
	c := &batchCall{label: label, store: s, orders: orders}
	if err := s.send(ctx, s.scripts, c); err != nil {
		return nil, nil, err
	}
	explainAll(ctx, start, s.scripts, label, c.errs)
	return c.replies, c.errs, nil
}
