package redistest

import "strings"

// rule says what happens to the first command that it matches.
type rule struct {
	match   func(args [][]byte) bool
	request *Held // hold before the server sees it
	reply   *Held // hold after the server executed it
	drop    bool  // lose the reply
}

// request is a command on its way through the proxy.
type request struct {
	raw     []byte
	counted bool  // not of the handshake
	free    bool  // has no reply of its own: the connection is for pub/sub now
	burst   int64 // number of its burst on the connection
	hold    *Held
	reply   *Held
	drop    bool
}

// handshake holds the commands that a client sends for itself.
var handshake = map[string]bool{
	"hello": true, "auth": true, "select": true, "ping": true, "client": true,
	"command": true, "cluster": true, "readonly": true, "readwrite": true,
	"asking": true, "quit": true, "reset": true,
}

// subscriptions holds the commands that turn a connection into a stream, whose
// messages answer no command.
var subscriptions = map[string]bool{
	"subscribe": true, "psubscribe": true, "ssubscribe": true, "monitor": true,
}

func (p *Proxy) add(r *rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, r)
}

// judge counts a command and applies the rules to it.
func (p *Proxy) judge(raw []byte, args [][]byte) *request {
	r := &request{raw: raw}
	if len(args) == 0 {
		return r
	}
	name := strings.ToLower(string(args[0]))
	r.counted = !handshake[name]
	r.free = subscriptions[name]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byName[name]++
	if r.counted {
		p.commands.Add(1)
		p.seen++
		r.drop = p.every > 0 && p.seen%p.every == 0
	}
	p.applyLocked(r, args)
	return r
}

// applyLocked lets every rule that is due act once on the command.
func (p *Proxy) applyLocked(r *request, args [][]byte) {
	waiting := p.rules[:0]
	for _, rule := range p.rules {
		switch {
		case rule.withdrawn():
		case !rule.match(args):
			waiting = append(waiting, rule)
		default:
			r.drop = r.drop || rule.drop
			r.hold = first(r.hold, rule.request)
			r.reply = first(r.reply, rule.reply)
		}
	}
	clear(p.rules[len(waiting):])
	p.rules = waiting
}

// withdrawn reports whether the rule's hold was released before it matched.
func (r *rule) withdrawn() bool {
	h := first(r.request, r.reply)
	if h == nil {
		return false
	}
	select {
	case <-h.released:
		return true
	default:
		return false
	}
}

// first returns the first that is not nil.
func first(a, b *Held) *Held {
	if a != nil {
		return a
	}
	return b
}
