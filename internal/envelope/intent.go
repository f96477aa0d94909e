package envelope

// IntentSize is the length in bytes of each open write in the body of an [Intent].
const IntentSize = TokenSize + timeSize

// AppendIntent appends an open write to the record of an [Intent]: its token and
// its deadline in milliseconds of Redis time.
func AppendIntent(rec []byte, t Token, until int64) []byte {
	return AppendTime(appendToken(rec, t), until)
}

// Intents returns how many writes are in progress at now, in milliseconds of Redis
// time: those in rec, if it is an [Intent], whose deadline is later. It allocates
// nothing.
func Intents(rec []byte, now int64) (open int) {
	h, err := ParseHeader(rec)
	if err != nil || h.Kind != Intent {
		return 0
	}
	for list := rec[HeaderSize:]; len(list) >= IntentSize; list = list[IntentSize:] {
		if until, ok := parseTime(list[TokenSize:IntentSize]); ok && until > now {
			open++
		}
	}
	return open
}
