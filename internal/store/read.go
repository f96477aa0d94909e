package store

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/record"
)

// Record is what was found under a key: the whole record, what tells how long it is good
// for, or why nothing is known of it. An empty string counts as none, as it does for the
// scripts.
type Record = conn.Value

// Read returns what is under keys, and behind that under those beside them, in one
// exchange; each has an error of its own. One key is read together with what other readers
// want, while many reads are on their way: see [conn.Client.Read].
func (s *Store) Read(ctx context.Context, keys, beside []string) []Record {
	return s.conn.Read(ctx, keys, beside)
}

// recordOf is a record that a script has told, "" for none, and its PTTL.
func recordOf(text string, ms int64) (r Record) {
	if r.PTTL = conn.NoTTL; text == "" {
		return r
	}
	if r.Data = []byte(text); ms >= 0 {
		r.PTTL = time.Duration(ms) * time.Millisecond
	}
	return r
}

// Windows are what a reader's class has to say about for how long an entry is served.
type Windows = record.Windows

// Found decodes the record r that was read under key, and says what is left of its entry.
func Found(r *Record, key string, w Windows) (f record.Found) {
	if f.Foreign, f.Missing = r.Foreign, r.Data == nil; f.Foreign || f.Missing {
		return f
	}
	if f.Header, f.Body, f.Err = envelope.Decode(r.Data, key); f.Err == nil && f.Header.Kind == envelope.Value {
		f.Left, f.Timed = Left(r, &f.Header, &f.Body, w)
	}
	return f
}

// TokenIn is the token that a record read under a token's key holds; zero if
// there is none.
func TokenIn(r *Record) envelope.Token {
	t, _ := envelope.ParseToken(string(r.Data))
	return t
}
