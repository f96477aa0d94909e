package store

import (
	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/record"
)

// Windows are what a reader's class has to say about for how long an entry is served.
type Windows = record.Windows

// Found decodes the record that was read under key, and says what is left of its entry.
func (r *Record) Found(key string, w Windows) (f record.Found) {
	if f.Foreign, f.Missing = r.Foreign, r.Data == nil; f.Foreign || f.Missing {
		return f
	}
	if f.Header, f.Body, f.Err = envelope.Decode(r.Data, key); f.Err == nil && f.Header.Kind == envelope.Value {
		f.Left, f.Timed = r.Left(&f.Header, &f.Body, w)
	}
	return f
}
