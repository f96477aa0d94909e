package conn

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// A script on many keys keeps the server from everything else until it is through
// with them, holds their bodies in memory a second time, and may, once it has written,
// go on writing without memory. So it has no more keys than this, and no more bytes of
// bodies unless it has one key.
const (
	chunkKeys  = 64
	chunkBytes = 256 << 10
)

// message is the command for some ops of a piece: for one, or on the only node of a
// deployment for several that are the same script's.
type message struct {
	script *Script // nil: a plain command
	args   []any
	first  int // number of its first op; the others follow
	count  int
	full   bool  // the script was sent in full
	err    error // of all of it
}

// resends is for a script on many keys that is not known, then refused, and then
// not known as a script on one key.
const resends = 3

// group is the messages for what was not cut out.
func (p *piece) group() []message {
	var messages []message
	together := p.together()
	if !together {
		messages = make([]message, 0, len(p.ops))
	}
	for i := 0; i < len(p.ops); {
		if p.ops[i].err = p.gone[i]; p.ops[i].err != nil {
			i++
			continue
		}
		n := 1
		if together {
			n = p.fits(i)
		}
		messages = append(messages, p.message(i, n))
		i += n
	}
	return messages
}

// together reports whether a script may have many keys: on several nodes one script
// cannot reach them all, and a proxy may hide several, but not answer INFO then.
func (p *piece) together() bool {
	c := p.client
	return c.locate.single() && c.breakers.only.Knows(IsRedis) && !c.breakers.only.Knows(NoManyKeys)
}

// fits is how many ops from the i-th on fit into one message.
func (p *piece) fits(i int) int {
	first := &p.ops[i]
	if first.Script == nil || first.Script.many == nil {
		return 1
	}
	n, size := 1, first.size()
	for n < chunkKeys && i+n < len(p.ops) {
		o := &p.ops[i+n]
		size += o.size()
		if o.Script != first.Script || len(o.Args) != len(first.Args) || p.gone[i+n] != nil || size > chunkBytes {
			break
		}
		n++
	}
	return n
}

// message is that for count ops from the first on.
func (p *piece) message(first, count int) message {
	ops := p.ops[first : first+count]
	m := message{script: ops[0].Script, args: ops[0].Args, first: first, count: count}
	if count == 1 {
		return m
	}
	m.script = m.script.many
	m.args = make([]any, keyAt, keyAt+count*(len(m.args)-keyAt))
	m.args[0], m.args[1], m.args[2] = "evalsha", m.script.digest, count
	for i := range ops {
		m.args = append(m.args, ops[i].Args[keyAt])
	}
	for i := range ops {
		m.args = append(m.args, ops[i].Args[keyAt+1:]...)
	}
	return m
}

// queue puts the message into pipe, and returns where its reply will be.
func (p *piece) queue(ctx context.Context, pipe redis.Pipeliner, m *message) *redis.Cmd {
	first := &p.ops[m.first]
	reply := first.command(ctx, m.args)
	if first.once() {
		_ = pipe.Process(ctx, noRetry{reply}) // queues only
	} else {
		_ = pipe.Process(ctx, reply)
	}
	return reply
}

// exec sends messages and sorts what became of them.
func (p *piece) exec(ctx context.Context, client redis.UniversalClient, messages []message) error {
	pipe := client.Pipeline()
	replies := make([]*redis.Cmd, len(messages))
	for i := range messages {
		replies[i] = p.queue(ctx, pipe, &messages[i])
	}
	_, err := pipe.Exec(ctx)
	failed := 0
	for i := range messages {
		reply, err := replies[i].Result()
		if err != nil {
			failed++
		}
		if reply != nil || err == redis.Nil { //nolint:errorlint // go-redis returns it bare
			err = nil // a reply that came is a reply: see readCall.failure
		}
		messages[i].err = err
		p.sort(&messages[i], reply)
	}
	if err != nil && failed == 0 {
		return err // a hook has sent nothing
	}
	return nil
}

// sort gives each op of m what reply has for it.
func (p *piece) sort(m *message, reply any) {
	ops := p.ops[m.first:][:m.count]
	err := m.err
	switch {
	case err != nil:
	case m.count == 1:
		ops[0].reply, ops[0].err = reply, nil
		return
	case sortEach(reply, ops):
		return
	default:
		err = &AnswerError{Script: m.script.Name, Answer: reply}
	}
	for i := range ops {
		ops[i].reply, ops[i].err = nil, err
	}
}

// sortEach reads the answers of a script on many keys, and the errors of those that
// have failed.
func sortEach(reply any, ops []Op) bool {
	list, _ := reply.([]any)
	if len(list) != 2 {
		return false
	}
	answers, ok0 := list[0].([]any)
	failures, ok1 := list[1].([]any)
	if !ok0 || !ok1 || len(answers) != len(ops) || len(failures)%2 != 0 {
		return false
	}
	for i := range ops {
		ops[i].reply, ops[i].err = answers[i], nil
	}
	for ; len(failures) > 0; failures = failures[2:] {
		i, ok0 := failures[0].(int64)
		text, ok1 := failures[1].(string)
		if !ok0 || !ok1 || i < 1 || i > int64(len(ops)) {
			return false
		}
		ops[i-1].err = replyError(text)
	}
	return true
}

// loadScript is a script that a node will know.
type loadScript struct {
	node   string
	script *Script
}

// resend is what has to be sent again. What was answered NOSCRIPT, and only that: the
// first message of a script for each node is an EVAL, which makes the script known
// there to those behind it in the same pipeline. And key by key, from now on, what
// was not run because of its many keys.
func (p *piece) resend(ctx context.Context, messages []message) (again []message) {
	loaded := map[loadScript]bool{}
	for _, m := range messages {
		switch {
		case m.err == nil || m.script == nil:
		case redis.HasErrorPrefix(m.err, "NOSCRIPT") && !m.full:
			load := loadScript{p.client.locate.owner(ctx, p.ops[m.first].key()), m.script}
			if m.full = load.node == "" || !loaded[load]; m.full {
				m.args = m.script.inFull(m.args)
				loaded[load] = true
			}
			again = append(again, m)
		case m.count > 1 && refusesMany(m.err):
			p.client.breakers.only.Learn(NoManyKeys)
			for i := range m.count {
				again = append(again, p.message(m.first+i, 1))
			}
		}
	}
	return again
}

// refusesMany reports whether a server has not run a script because its keys are many:
// it is a node of a cluster after all, or the user may not touch all of them.
func refusesMany(err error) bool {
	return redis.HasErrorPrefix(err, "CROSSSLOT") || redis.HasErrorPrefix(err, "NOPERM")
}
