package conn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// reply is the reply to a GET or an MGET as it came, in one buffer that its values alias:
// none costs an allocation or a copy. It goes back to the pool when all of its readers
// have released what they have of it; if one does not, the collector takes it.
type reply struct {
	data    []byte
	readers atomic.Int32
	usual   *atomic.Int64 // hears how large it was
}

// keptReply is how large a buffer is kept.
const keptReply = 1 << 20

var replies sync.Pool

// newReply is an empty reply with room for usual bytes, where it has to make one:
// codecs that are not the library's give none back.
func newReply(usual *atomic.Int64) *reply {
	if r, ok := replies.Get().(*reply); ok {
		r.usual = usual
		return r
	}
	room := min(usual.Load()*9/8, keptReply) + 64
	return &reply{data: make([]byte, 0, room), usual: usual}
}

// Write appends p, for go-redis.
func (r *reply) Write(p []byte) (int, error) {
	r.data = append(r.data, p...)
	return len(p), nil
}

// ReadFrom appends what source has, for go-redis, which says how much that is.
func (r *reply) ReadFrom(source io.Reader) (int64, error) {
	limited, ok := source.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("a reply of unknown length")
	}
	at, n := len(r.data), int(limited.N)
	if cap(r.data)-at < n {
		r.data = append(make([]byte, 0, 2*cap(r.data)+n), r.data...)
	}
	got, err := io.ReadFull(limited.R, r.data[at:at+n])
	r.data = r.data[:at+got]
	return int64(got), err
}

// release is called by each reader that has done with a value.
func (r *reply) release() {
	if r == nil || r.readers.Add(-1) != 0 {
		return
	}
	if cap(r.data) <= keptReply {
		r.data = r.data[:0]
		replies.Put(r)
	}
}

// replyError is an error reply.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError marks it as go-redis marks its own.
func (replyError) RedisError() {}

// errReply says that a reply is no array of strings.
var errReply = errors.New("a reply that is no array of n strings")

// refusal is the error that the reply is, nil if it is none.
func (r *reply) refusal() error {
	if len(r.data) == 0 || r.data[0] != '-' {
		return nil
	}
	head, _, err := line(r.data)
	if err != nil {
		return err
	}
	return replyError(head[1:])
}

// mget reads what the reply to an MGET says of each key.
func (r *reply) mget(values []Value) error {
	rest, err := r.array(len(values))
	if err != nil {
		return err
	}
	for i := range values {
		v := &values[i]
		v.PTTL, v.reply = NoTTL, r
		if v.Data, rest, err = bulk(rest); err != nil {
			return err
		}
	}
	r.readers.Store(int32(len(values)))
	return ended(rest)
}

// get reads what the reply to a GET says.
func (r *reply) get(v *Value) error {
	v.PTTL = NoTTL
	r.usual.Store(int64(len(r.data)))
	if err := r.refusal(); err != nil {
		if wrongType(err) {
			v.Foreign = true
			return nil
		}
		return err
	}
	data, rest, err := bulk(r.data)
	if err != nil {
		return err
	}
	r.readers.Store(1)
	v.Data, v.reply = data, r
	return ended(rest)
}

// array is what follows the head of an array of n strings.
func (r *reply) array(n int) ([]byte, error) {
	r.usual.Store(int64(len(r.data)))
	if err := r.refusal(); err != nil {
		return nil, err
	}
	head, rest, err := line(r.data)
	if err == nil && (head[0] != '*' || !is(head[1:], n)) {
		err = fmt.Errorf("%w: %.20q, n is %d", errReply, head, n)
	}
	return rest, err
}

func ended(rest []byte) error {
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes too many", errReply, len(rest))
	}
	return nil
}

// bulk takes one string off data: nil for none and for an empty one.
func bulk(data []byte) (value, rest []byte, err error) {
	head, rest, err := line(data)
	switch {
	case err != nil:
		return nil, nil, err
	case head[0] == '_', string(head) == "$-1":
		return nil, rest, nil
	case head[0] != '$':
		return nil, nil, fmt.Errorf("%w: %.20q", errReply, head)
	}
	n, ok := number(head[1:])
	if !ok || len(rest) < n+2 || rest[n] != '\r' || rest[n+1] != '\n' {
		return nil, nil, fmt.Errorf("%w: %.20q and %d bytes", errReply, head, len(rest))
	}
	if n == 0 {
		return nil, rest[2:], nil
	}
	return rest[:n:n], rest[n+2:], nil
}

// line takes one line off data. It is not empty.
func line(data []byte) (head, rest []byte, err error) {
	end := bytes.IndexByte(data, '\n')
	if end < 2 || data[end-1] != '\r' {
		return nil, nil, errReply
	}
	return data[:end-1], data[end+1:], nil
}

// number is a length, in the one way in which a server writes it.
func number(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > 10 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int(d-'0')
	}
	return n, true
}

func is(digits []byte, n int) bool {
	got, ok := number(digits)
	return ok && got == n
}
