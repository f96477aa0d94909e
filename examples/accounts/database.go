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

// openDatabase connects to a PostgreSQL, or to the file after "sqlite:".
func openDatabase(url string) (*sql.DB, error) {
	file, ok := strings.CutPrefix(url, sqliteScheme)
	if !ok {
		return sql.Open("postgres", url)
	}
	// Readers do not block the writer (WAL), and a writer waits for another
	// process's instead of failing. The file is scratch: no fsync.
	return sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
}

// prepareDatabase opens PostgreSQL at url, or, if url is empty, SQLite in a
// temporary folder that Close removes, and opens an account for each id.
// Accounts of an earlier run go on with their versions.
func prepareDatabase(ctx context.Context, url string, ids []string) (*database, error) {
	d := &database{url: url, clean: func() error { return nil }}
	if url == "" {
		folder, err := os.MkdirTemp("", "larder-accounts-")
		if err != nil {
			return nil, err
		}
		d.url = sqliteScheme + filepath.Join(folder, "accounts.db")
		d.clean = func() error { return os.RemoveAll(folder) }
	}
	var err error
	if d.DB, err = openDatabase(d.url); err != nil {
		return nil, errors.Join(err, d.clean())
	}
	if err := d.fill(ctx, ids); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the database: %w", err), d.Close())
	}
	return d, nil
}

func (d *database) fill(ctx context.Context, ids []string) error {
	const schema = `CREATE TABLE IF NOT EXISTS larder_accounts
		(id TEXT PRIMARY KEY, owner TEXT NOT NULL, cents BIGINT NOT NULL, version BIGINT NOT NULL)`
	if _, err := d.ExecContext(ctx, schema); err != nil {
		return err
	}
	repo := repository{d.DB}
	for _, id := range ids {
		if err := repo.Write(ctx, id, Account{Owner: "nobody"}); err != nil {
			return err
		}
	}
	return nil
}

// Close disconnects and removes what prepareDatabase put on the disk.
func (d *database) Close() error { return errors.Join(d.DB.Close(), d.clean()) }
