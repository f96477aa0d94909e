package main

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/larder-go/cache"
)

// Sink brings what a write-behind cache holds to one table of PostgreSQL or
// SQLite. Copy it. The table needs, besides the columns named here,
//
//	version BIGINT NOT NULL, deleted BOOLEAN NOT NULL
//
// A row changes only if its version is lower than the mutation's. That is the
// fence which the cache relies on: a worker that was paused may come late with
// an old value, and a batch whose answer was lost comes again. For the same
// reason a deleted key keeps its row, with deleted set: readers ask for WHERE
// NOT deleted.
type Sink[T any] struct {
	DB      *sql.DB
	Table   string          // as SQL: not from users
	Key     string          // the primary key's column, of type TEXT
	Columns []string        // the value's columns
	Values  func(v T) []any // one for each of Columns; the zero T's when deleted
}

// sinkRows is how many rows one INSERT carries. One row each would be all round
// trips for PostgreSQL; the SQLite driver's time grows with the square of it.
const sinkRows = 50

// Write is a cache.BatchWriter: all of the batch is written, or none and an
// error. Rows that are as new already stay as they are, which is success.
func (s *Sink[T]) Write(ctx context.Context, batch []cache.Mutation[T]) error {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // After Commit it does nothing; before, its error is not the first.
	// In the order of the keys, two workers never wait for each other's rows.
	batch = slices.SortedFunc(slices.Values(batch), func(a, b cache.Mutation[T]) int {
		return strings.Compare(a.Key, b.Key)
	})
	for rows := range slices.Chunk(batch, sinkRows) {
		if _, err := tx.ExecContext(ctx, s.upsert(len(rows)), s.args(rows)...); err != nil {
			return fmt.Errorf("%s: %w", s.Table, err)
		}
	}
	return tx.Commit()
}

// upsert is the statement for n rows, the same for both databases.
func (s *Sink[T]) upsert(n int) string {
	columns := append(slices.Clone(s.Columns), "version", "deleted")
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s, %s) VALUES ", s.Table, s.Key, strings.Join(columns, ", "))
	for row := range n {
		separator := ", ("
		if row == 0 {
			separator = "("
		}
		for column := range 1 + len(columns) {
			fmt.Fprintf(&b, "%s$%d", separator, row*(1+len(columns))+column+1)
			separator = ", "
		}
		b.WriteByte(')')
	}
	fmt.Fprintf(&b, " ON CONFLICT (%s) DO UPDATE SET ", s.Key)
	for i, column := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s = excluded.%[1]s", column)
	}
	fmt.Fprintf(&b, " WHERE %s.version < excluded.version", s.Table)
	return b.String()
}

// args are the columns of the rows. database/sql takes no uint64 above 2^63;
// versions are microseconds since 1970 and stay below.
func (s *Sink[T]) args(rows []cache.Mutation[T]) []any {
	args := make([]any, 0, len(rows)*(3+len(s.Columns)))
	for _, m := range rows {
		args = append(args, m.Key)
		args = append(args, s.Values(m.Value)...)
		args = append(args, int64(m.Version), m.Deleted)
	}
	return args
}
