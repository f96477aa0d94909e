package conn

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// sampling asks a node for its time, in a pipeline that goes there anyway, and from time
// to time what kind of server it is. One that a test runs may let its keys age without its
// clock, as miniredis does in FastForward: its clock proves nothing of them. It does not
// call itself Redis; what does has one clock for both. The zero value asks for nothing.
type sampling struct {
	node *Node
	sent time.Time
	kind bool
	key  string // of the node, by which a client of several is routed there
	at   int    // where key is among the keys: if it is cut out nobody is asked

	time *redis.TimeCmd
	info *redis.StringCmd
	eval *redis.Cmd // in place of both
}

// sampling is what a pipeline that goes to n now should ask for.
func (n *Node) sampling(now time.Time) sampling {
	if n.Knows(NoTime) || !n.clock.asks(now) {
		return sampling{}
	}
	return sampling{node: n, sent: now, kind: !n.Knows(IsRedis) && !n.Knows(IsOther)}
}

// asks reports whether anything is asked for.
func (s *sampling) asks() bool { return s.node != nil }

// learn takes the answers: the time, and what INFO said.
func (s *sampling) learn(now time.Time, noTime error, text string, noKind error) {
	if s.kind {
		switch {
		case noKind == nil && strings.Contains(text, "redis_version:"):
			s.node.Learn(IsRedis)
		case noKind == nil || declines(noKind):
			s.node.Learn(IsOther)
		}
	}
	switch {
	case noTime == nil:
		us := now.UnixMicro()
		s.node.clock.learn(us, us, s.sent)
	case declines(noTime):
		s.node.Learn(NoTime)
	}
}

// declines reports whether err is a server's answer to the command.
func declines(err error) bool { return replied(err) && !Infrastructure(err) }

// DoAsking is Do, and asks for the time of the only node of a deployment now and then.
func (c *Client) DoAsking(ctx context.Context, o *Ops) {
	s := sampling{}
	if c.locate.single() {
		s = c.breakers.only.sampling(time.Now())
	}
	n := len(o.list)
	if s.asks() {
		o.Add(Op{Args: []any{"time"}})
		if s.kind {
			o.Add(Op{Args: []any{"info", "server"}})
		}
	}
	if c.Do(ctx, o); s.asks() {
		s.learnFrom(o, n)
	}
	o.list = o.list[:n]
}

// learnFrom takes the answers in o, from the n-th on.
func (s *sampling) learnFrom(o *Ops, n int) {
	var now time.Time
	var text string
	var noKind error
	reply, noTime := o.Reply(n)
	if noTime == nil {
		now, noTime = timeIn(reply)
	}
	if s.kind {
		reply, noKind = o.Reply(n + 1)
		text, _ = reply.(string)
	}
	s.learn(now, noTime, text, noKind)
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

// whatTime is a script on any key of a node: a client of several sends TIME to any of them.
const whatTime = `local t=redis.call('TIME') if ARGV[1]=='0' then return t end ` +
	`local i=redis.pcall('INFO','server') return {t[1],t[2],type(i)=='string' and i or ''}`

// queue puts the question into a pipeline of reads.
func (s *sampling) queue(ctx context.Context, pipe redis.Pipeliner, single bool) {
	if single {
		s.time = pipe.Time(ctx)
		if s.kind {
			s.info = pipe.Info(ctx, "server")
		}
		return
	}
	kind := "0"
	if s.kind {
		kind = "1"
	}
	s.eval = redis.NewCmd(ctx, "eval", whatTime, 1, s.key, kind)
	Keyed(s.eval, keyAt)
	_ = pipe.Process(ctx, s.eval) // queues only
}

// unsaid reports whether no command has an error.
func (s *sampling) unsaid() bool {
	return (s.time == nil || s.time.Err() == nil) && (s.info == nil || s.info.Err() == nil) && (s.eval == nil || s.eval.Err() == nil)
}

// finish takes the answers of a pipeline that was sent.
func (s *sampling) finish() {
	var now time.Time
	var text string
	var noTime, noKind error
	if s.eval != nil {
		var reply any
		if reply, noTime = s.eval.Result(); noTime == nil {
			now, noTime = timeIn(reply)
		}
		if list, _ := reply.([]any); len(list) == 3 {
			text, _ = list[2].(string)
		}
		noKind = noTime
	} else {
		now, noTime = s.time.Result()
	}
	if s.info != nil {
		text, noKind = s.info.Result()
	}
	s.learn(now, noTime, text, noKind)
}
