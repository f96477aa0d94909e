package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// told is what a server answered to a question for its time.
type told struct {
	node *node
	ask  asked
	text string // of INFO
	now  time.Time
	kind error // why there is no text
	time error // why there is no time
}

// asked is what a pipeline asks a node for beside its keys: the time, and what kind of
// server it is. One that a test runs may let its keys age without its clock, as miniredis
// does in FastForward: its clock proves nothing of them. It does not call itself Redis;
// what does has one clock for both.
type asked struct{ time, kind bool }

// asks is what a pipeline that goes to n now should ask for.
func (n *node) asks(now time.Time) asked {
	if n.noTime.holds() || !n.clock.asks(now) {
		return asked{}
	}
	return asked{time: true, kind: !n.redis.holds() && !n.other.holds()}
}

// sample is n's clock, if it tells what is left of n's records at now; else nil.
func (n *node) sample(now time.Time) *sample {
	if n == nil || !n.redis.holds() {
		return nil
	}
	return n.clock.usable(now)
}

// hear takes the answers of t, which were asked for at sent.
func (t *told) hear(sent time.Time) {
	if t.ask.kind {
		switch {
		case t.kind == nil && strings.Contains(t.text, "redis_version:"):
			t.node.redis.learn()
		case t.kind == nil || declines(t.kind):
			t.node.other.learn()
		}
	}
	switch {
	case !t.ask.time:
	case t.time == nil:
		us := t.now.UnixMicro()
		t.node.clock.learn(us, us, sent)
	case declines(t.time):
		t.node.noTime.learn()
	}
}

// behind appends what is asked for to orders.
func (a asked) behind(orders []order) []order {
	if a.time {
		orders = append(orders, order{args: []any{"time"}})
	}
	if a.kind {
		orders = append(orders, order{args: []any{"info", "server"}})
	}
	return orders
}

// told is what n answered to those orders.
func (a asked) told(n *node, replies []any, errs []error) (t told) {
	t.node, t.ask = n, a
	if a.time {
		if t.time = errs[0]; t.time == nil {
			t.now, t.time = timeIn(replies[0])
		}
		replies, errs = replies[1:], errs[1:]
	}
	if a.kind {
		t.text, _ = replies[0].(string)
		t.kind = errs[0]
	}
	return t
}

// timeIn reads {seconds, microseconds}.
func timeIn(reply any) (time.Time, error) {
	list, _ := reply.([]any)
	var part [2]int64
	for i := range part {
		text, ok := "", len(list) >= len(part)
		if ok {
			text, ok = list[i].(string)
		}
		var err error
		if part[i], err = strconv.ParseInt(text, 10, 64); !ok || err != nil {
			return time.Time{}, &AnswerError{Script: "time", Answer: reply}
		}
	}
	return time.Unix(part[0], part[1]*1000), nil
}

// declines reports whether err is a server's answer to the command.
func declines(err error) bool { return replied(err) && !Infrastructure(err) }

// question is what a pipeline of reads asks a node for beside its keys.
type question struct {
	node *node
	ask  asked
	key  string // of the node, by which a client of several is routed there
	at   int    // where key is among the keys: if it is cut out nobody is asked

	time *redis.TimeCmd
	info *redis.StringCmd
	eval *redis.Cmd // in place of both
}

// whatTime is a script on any key of a node: a client of several sends TIME to any of them.
const whatTime = `local t=redis.call('TIME') if ARGV[1]=='0' then return t end ` +
	`local i=redis.pcall('INFO','server') return {t[1],t[2],type(i)=='string' and i or ''}`

func (q *question) queue(ctx context.Context, pipe redis.Pipeliner, single bool) {
	switch {
	case !q.ask.time:
	case !single:
		kind := "0"
		if q.ask.kind {
			kind = "1"
		}
		q.eval = redis.NewCmd(ctx, "eval", whatTime, 1, q.key, kind)
		route(q.eval)
		_ = pipe.Process(ctx, q.eval) // queues only
	default:
		q.time = pipe.Time(ctx)
		if q.ask.kind {
			q.info = pipe.Info(ctx, "server")
		}
	}
}

// silent reports whether no command has an error.
func (q *question) silent() bool {
	return (q.time == nil || q.time.Err() == nil) && (q.info == nil || q.info.Err() == nil) && (q.eval == nil || q.eval.Err() == nil)
}

// told is what was answered.
func (q *question) told() (t told) {
	t.node, t.ask = q.node, q.ask
	switch {
	case q.eval != nil:
		var reply any
		if reply, t.time = q.eval.Result(); t.time == nil {
			t.now, t.time = timeIn(reply)
		}
		if list, _ := reply.([]any); len(list) == 3 {
			t.text, _ = list[2].(string)
		}
		t.kind = t.time
	case q.time != nil:
		t.now, t.time = q.time.Result()
	}
	if q.info != nil {
		t.text, t.kind = q.info.Result()
	}
	return t
}
