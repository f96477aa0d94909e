package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"
)

// database is the system of record, which several processes open.
type database struct {
	*sql.DB
	url   string
	clean func() error
}

const sqliteScheme = "sqlite:"

const schema = `CREATE TABLE IF NOT EXISTS larder_likes
	(post TEXT PRIMARY KEY, total BIGINT NOT NULL, version BIGINT NOT NULL, deleted BOOLEAN NOT NULL)`

// openDatabase connects to a PostgreSQL, or to the file after "sqlite:".
func openDatabase(url string) (*sql.DB, error) {
	file, ok := strings.CutPrefix(url, sqliteScheme)
	if !ok {
		return sql.Open("postgres", url)
	}
	// Readers do not block the writer (WAL), a writer waits for another process's
	// instead of failing, and what is committed survives kill -9 (NORMAL).
	return sql.Open("sqlite", "file:"+file+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate")
}

// prepareDatabase opens PostgreSQL at url, or, if url is empty, SQLite in a
// temporary folder that Close removes, and makes the table if it is not there.
func prepareDatabase(ctx context.Context, url string) (*database, error) {
	d := &database{url: url, clean: func() error { return nil }}
	if url == "" {
		folder, err := os.MkdirTemp("", "larder-likes-")
		if err != nil {
			return nil, err
		}
		d.url = sqliteScheme + filepath.Join(folder, "likes.db")
		d.clean = func() error { return os.RemoveAll(folder) }
	}
	var err error
	if d.DB, err = openDatabase(d.url); err != nil {
		return nil, errors.Join(err, d.clean())
	}
	if _, err := d.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the database: %w", err), d.Close())
	}
	return d, nil
}

// total is the row of a post; none counts as 0 likes.
func (d *database) total(ctx context.Context, post string) (total int64, err error) {
	err = d.QueryRowContext(ctx, `SELECT total FROM larder_likes WHERE post = $1 AND NOT deleted`, post).Scan(&total)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return total, err
}

// Close disconnects and removes what prepareDatabase put on the disk.
func (d *database) Close() error { return errors.Join(d.DB.Close(), d.clean()) }
