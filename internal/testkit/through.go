package testkit

import (
	"context"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
)

// Book is a row with a version that the table assigns.
type Book struct {
	Title   string
	Version uint64
}

func (b Book) CacheVersion() uint64 { return b.Version }

// Table is a system of record: a writer, and the loader of what it holds.
type Table struct {
	mu      sync.Mutex
	Rows    map[string]Book
	Version uint64
	Before  func() error // runs in each write; its error fails the write
	After   func() error // runs behind the commit; its error is reported, the write stays
}

// NewTable is an empty table.
func NewTable() *Table { return &Table{Rows: map[string]Book{}} }

func (t *Table) change(f func()) error {
	if t.Before != nil {
		if err := t.Before(); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.Version++
	f()
	t.mu.Unlock()
	if t.After != nil {
		return t.After()
	}
	return nil
}

func (t *Table) Write(_ context.Context, key string, b Book) error {
	return t.change(func() { b.Version = t.Version; t.Rows[key] = b })
}

func (t *Table) Delete(_ context.Context, key string) error {
	return t.change(func() { delete(t.Rows, key) })
}

func (t *Table) Load(_ context.Context, key string) (Book, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ok := t.Rows[key]
	if !ok {
		return b, cache.ErrNotFound
	}
	return b, nil
}

// Returning is a table that returns what it stored.
type Returning struct{ *Table }

func (r Returning) WriteReturning(_ context.Context, key string, b Book) (stored Book, err error) {
	err = r.change(func() { b.Version = r.Version; r.Rows[key] = b; stored = b })
	return stored, err
}

// NewThrough is a cache that writes through w, closed with the test. opts are options of
// New or of WriteThrough.
func NewThrough(t testing.TB, rdb redis.UniversalClient, w cache.Writer[Book], opts ...any) *cache.Cache[Book] {
	t.Helper()
	var through []cache.WriteThroughOption
	var options cache.Options
	for _, o := range opts {
		switch o := o.(type) {
		case cache.WriteThroughOption:
			through = append(through, o)
		case cache.Option:
			options = append(options, o)
		}
	}
	c, err := cache.New(rdb, "books", cache.WriteThrough(w, through...), Patient(), options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
