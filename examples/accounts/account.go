package main

import (
	"context"
	"database/sql"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// Account is a row of larder_accounts.
type Account struct {
	ID      string
	Owner   string
	Cents   int64
	Version uint64 // the database counts it up with each change
}

// CacheVersion makes Account a cache.Versioned: an older one never replaces a
// newer one.
func (a Account) CacheVersion() uint64 { return a.Version }

// openAccounts is all that a service changes to write through. FailClosed: an
// account is not written while Redis cannot guard the write.
func openAccounts(rdb redis.UniversalClient, repo *repository) (*cache.Cache[Account], error) {
	return cache.New(rdb, "accounts", cache.WriteThrough[Account](repo, cache.FailClosed()))
}

// repository is the table. It is a cache.Writer, and a cache.ReturningWriter:
// what is cached is the row, with the version that the database gave it.
type repository struct{ db *sql.DB }

// Find is the loader.
func (r *repository) Find(ctx context.Context, id string) (Account, error) {
	return scan(r.db.QueryRowContext(ctx, `SELECT id, owner, cents, version FROM larder_accounts WHERE id = $1`, id))
}

// WriteReturning inserts or replaces the account and returns its row. The
// version of a is ignored.
func (r *repository) WriteReturning(ctx context.Context, id string, a Account) (Account, error) {
	return scan(r.db.QueryRowContext(ctx, `
		INSERT INTO larder_accounts AS t (id, owner, cents, version) VALUES ($1, $2, $3, 1)
		ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, cents = excluded.cents, version = t.version + 1
		RETURNING id, owner, cents, version`, id, a.Owner, a.Cents))
}

// Write is for those who do not ask what was stored.
func (r *repository) Write(ctx context.Context, id string, a Account) error {
	_, err := r.WriteReturning(ctx, id, a)
	return err
}

// Delete removes the account; that there is none is no error.
func (r *repository) Delete(ctx context.Context, id string) error {
	_, err := r.db.ExecContext(ctx, `DELETE FROM larder_accounts WHERE id = $1`, id)
	return err
}

// Deposit changes the balance by what is there, which Set cannot: it is the
// write of an Update.
func (r *repository) Deposit(ctx context.Context, id string, cents int64) error {
	_, err := scan(r.db.QueryRowContext(ctx, `
		UPDATE larder_accounts SET cents = cents + $2, version = version + 1 WHERE id = $1
		RETURNING id, owner, cents, version`, id, cents))
	return err
}

// scan reads a row; sql.ErrNoRows, if there is none, Is cache.ErrNotFound to
// those who call the cache.
func scan(row *sql.Row) (a Account, err error) {
	err = row.Scan(&a.ID, &a.Owner, &a.Cents, &a.Version)
	return a, err
}
