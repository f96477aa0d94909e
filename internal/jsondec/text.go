package jsondec

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// plain are the bytes that stand for themselves in a string.
var plain = func() (all [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		all[c] = c != '"' && c != '\\'
	}
	return all
}()

// textAt returns what the string at data[at] says, and where it ends. What it says may be
// a part of data.
func textAt(data []byte, at int) (says []byte, end int) {
	if !has(data, at, '"') {
		return nil, unsure
	}
	at++
	for i, c := range data[at:] {
		if plain[c] {
			continue
		}
		if c == '"' {
			return data[at : at+i], at + i + 1
		}
		return oddText(data, at)
	}
	return nil, unsure
}

// oddText is textAt for the inside of a string that has escapes, or more than ASCII.
func oddText(data []byte, at int) (says []byte, end int) {
	end = quoteEnd(data, at)
	if end == unsure {
		return nil, unsure
	}
	inside := data[at : end-1]
	for {
		i := bytes.IndexByte(inside, '\\')
		if i < 0 {
			break
		}
		r, size := escape(inside[i:])
		if size == 0 {
			return nil, unsure
		}
		if says == nil {
			says = make([]byte, 0, len(inside))
		}
		says = utf8.AppendRune(append(says, inside[:i]...), r)
		inside = inside[i+size:]
	}
	if says = join(says, inside); !utf8.Valid(says) { // encoding/json would mend it
		return nil, unsure
	}
	return says, end
}

// join is rest behind says, without a copy where that is empty.
func join(says, rest []byte) []byte {
	if says == nil {
		return rest
	}
	return append(says, rest...)
}

// quoteEnd returns where the string ends whose inside begins at data[at].
func quoteEnd(data []byte, at int) (end int) {
	for i := at; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
		case c < ' ':
			return unsure
		}
	}
	return unsure
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape returns what the escape at the beginning of s stands for, and its length, 0 if
// it is none.
func escape(s []byte) (r rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	if c := escapes[s[1]]; c != 0 {
		return rune(c), 2
	}
	r, ok := unicodeEscape(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := unicodeEscape(s[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError { // half of a pair
		return 0, 0
	}
	return r, 12
}

// unicodeEscape returns the code of \uXXXX.
func unicodeEscape(s []byte) (r rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(n), err == nil
}
