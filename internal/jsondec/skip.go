package jsondec

// skip returns the end of the value at data[at], of whatever kind, if it is one.
func skip(data []byte, at, depth int) (end int) {
	if at >= len(data) || depth == 0 {
		return unsure
	}
	switch data[at] {
	case '"':
		return skipText(data, at+1)
	case '{':
		return skipObject(data, at+1, depth-1)
	case '[':
		return skipList(data, at+1, depth-1)
	case 't':
		return word(data, at, "true")
	case 'f':
		return word(data, at, "false")
	case 'n':
		return null(data, at)
	}
	end, _ = numeral(data, at)
	return end
}

// skipText skips a string, whose inside begins at data[at]. It may be what is no UTF-8.
func skipText(data []byte, at int) (end int) {
	for at < len(data) {
		switch c := data[at]; {
		case c == '"':
			return at + 1
		case c < ' ':
			return unsure
		case c != '\\':
			at++
		case at+1 < len(data) && escapes[data[at+1]] != 0:
			at += 2
		default:
			if _, ok := unicodeEscape(data[at:]); !ok {
				return unsure
			}
			at += 6
		}
	}
	return unsure
}

func skipObject(data []byte, at, depth int) (end int) {
	if has(data, at, '}') {
		return at + 1
	}
	for last := false; !last; {
		if !has(data, at, '"') {
			return unsure
		}
		if at = skipText(data, at+1); !has(data, at, ':') {
			return unsure
		}
		at, last = after(data, skip(data, at+1, depth), '}')
	}
	return at
}

func skipList(data []byte, at, depth int) (end int) {
	if has(data, at, ']') {
		return at + 1
	}
	for last := false; !last; {
		at, last = after(data, skip(data, at, depth), ']')
	}
	return at
}
