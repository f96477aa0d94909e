package store_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// epoch is where the clock of a miniredis starts.
var epoch = time.UnixMilli(1_763_661_234_567)

// Tokens of three parties, and times that are over and far away.
var (
	alice = envelope.Token([]byte("alice-----------"))
	bob   = envelope.Token([]byte("bob-------------"))
	carol = envelope.Token([]byte("carol-----------"))
)

const (
	past   = 1_000
	future = 9_000_000_000_000
)

// mini starts a miniredis whose clock stands still unless the test moves it.
func mini(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	m := redistest.Mini(t)
	m.ClockTTL(true)
	m.SetTime(epoch)
	return m
}

// patience bounds what must happen at all.
const patience = time.Minute

// open returns a store on c that is closed, without anything left, with the test.
// Its budgets are none that a busy machine could make run out.
func open(t testing.TB, c redis.UniversalClient) *store.Store {
	t.Helper()
	return openWith(t, c, store.Options{ReadBudget: patience, ScriptBudget: patience})
}

// openWith is open with options of the test's.
func openWith(t testing.TB, c redis.UniversalClient, o store.Options) *store.Store {
	t.Helper()
	s := store.New(c, o)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// damaged is a value that no reader can name: its CID is zero.
var damaged = record(envelope.Header{Kind: envelope.Value, CID: alice}, "")[:45] + string(make([]byte, 16)) + "0000000000000000000body"

// room is a body behind room for its header.
func room(body string) []byte {
	return append(make([]byte, envelope.HeaderSize), body...)
}

// bodyIn is what is behind that room, "" if there is neither.
func bodyIn(record []byte) string {
	if record == nil {
		return ""
	}
	return string(record[envelope.HeaderSize:])
}

// record is a whole record of ours.
func record(h envelope.Header, body string) string {
	return string(envelope.AppendHeader(nil, h)) + body
}
