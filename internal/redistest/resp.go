package redistest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Limits against nonsense on the wire; Redis' own are lower or equal.
const (
	maxElements = 1 << 20
	maxBulk     = 512 << 20
	maxDepth    = 16
)

var errProtocol = errors.New("redistest: not RESP")

// readRequest reads one command, as an array of bulk strings or as a line. It
// returns the bytes as they came and the arguments, which share them.
func readRequest(r *bufio.Reader) (raw []byte, args [][]byte, err error) {
	raw, err = readLine(r, nil)
	if err != nil {
		return nil, nil, err
	}
	if raw[0] != '*' {
		return raw, bytes.Fields(raw), nil
	}
	n, err := length(raw, 0, maxElements)
	if err != nil {
		return nil, nil, err
	}
	type span struct{ from, to int } // raw may move while it grows
	spans := make([]span, 0, min(n, 64))
	for range n {
		at := len(raw)
		if raw, err = readLine(r, raw); err != nil {
			return nil, nil, err
		}
		if raw[at] != '$' {
			return nil, nil, fmt.Errorf("%w: argument starts with %q", errProtocol, raw[at])
		}
		size, err := length(raw[at:], 0, maxBulk)
		if err != nil {
			return nil, nil, err
		}
		from := len(raw)
		if raw, err = readBytes(r, raw, size+2); err != nil {
			return nil, nil, err
		}
		spans = append(spans, span{from, from + size})
	}
	args = make([][]byte, len(spans))
	for i, s := range spans {
		args[i] = raw[s.from:s.to:s.to]
	}
	return raw, args, nil
}

// readReply reads one reply of RESP2 or RESP3 whole and returns its bytes. It
// reports whether it is a push message, which answers no command.
func readReply(r *bufio.Reader) (raw []byte, push bool, err error) {
	raw, err = readValue(r, nil, 0)
	if err != nil {
		return nil, false, err
	}
	return raw, raw[0] == '>', nil
}

// readValue appends one value with all that is in it to raw.
func readValue(r *bufio.Reader, raw []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested too deeply", errProtocol)
	}
	at := len(raw)
	raw, err := readLine(r, raw)
	if err != nil {
		return nil, err
	}
	children := 0
	switch kind := raw[at]; kind {
	case '+', '-', ':', '_', '#', ',', '(':
		return raw, nil
	case '$', '=', '!':
		size, err := length(raw[at:], -1, maxBulk)
		if err != nil || size < 0 {
			return raw, err
		}
		return readBytes(r, raw, size+2)
	case '*', '~', '>', '%', '|':
		if children, err = length(raw[at:], -1, maxElements); err != nil {
			return nil, err
		}
		if kind == '%' || kind == '|' {
			children *= 2
		}
		if kind == '|' {
			children++ // the value that the attributes describe
		}
	default:
		return nil, fmt.Errorf("%w: reply starts with %q", errProtocol, kind)
	}
	for range max(children, 0) {
		if raw, err = readValue(r, raw, depth+1); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// readLine appends a line with its CRLF to raw. An empty one is an error.
func readLine(r *bufio.Reader, raw []byte) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("%w: line %q", errProtocol, line)
	}
	return append(raw, line...), nil
}

// readBytes appends the next n bytes to raw.
func readBytes(r *bufio.Reader, raw []byte, n int) ([]byte, error) {
	at := len(raw)
	raw = append(raw, make([]byte, n)...)
	_, err := io.ReadFull(r, raw[at:])
	return raw, err
}

// length reads the number after a line's first byte.
func length(line []byte, low, high int) (int, error) {
	n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%w: length in %q", errProtocol, line)
	}
	return n, nil
}
