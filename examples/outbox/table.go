package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// table is the write path: plain SQL, as psql could send it. There is nothing about
// a cache in it.
type table struct {
	*database
	ids    []string
	run    string // in each name, so that those of an earlier run are not taken for ours
	number int    // of the names given
}

const (
	teamA = "red"
	teamB = "blue"
)

// newTable fills the table with n users of the first team.
func newTable(ctx context.Context, db *database, n int) (*table, error) {
	t := &table{database: db, run: strconv.FormatInt(time.Now().UnixMicro(), 36)}
	for i := range n {
		t.ids = append(t.ids, strconv.Itoa(i+1))
	}
	_, err := t.Exec(ctx, `
		INSERT INTO larder_users SELECT id, 'nobody', $2 FROM unnest($1::text[]) AS id
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, team = excluded.team`, t.ids, teamA)
	return t, err
}

// rename gives all these users a new name, in one transaction.
func (t *table) rename(ctx context.Context, ids ...string) (name string, err error) {
	t.number++
	name = fmt.Sprintf("%s/%d", t.run, t.number)
	_, err = t.Exec(ctx, `UPDATE larder_users SET name = $1 WHERE id = ANY($2)`, name, ids)
	return name, err
}

// move puts a user into another team.
func (t *table) move(ctx context.Context, id, team string) error {
	_, err := t.Exec(ctx, `UPDATE larder_users SET team = $1 WHERE id = $2`, team, id)
	return err
}

// waiting is the number of rows in the outbox.
func (t *table) waiting(ctx context.Context) (n int, err error) {
	err = t.QueryRow(ctx, `SELECT count(*) FROM larder_outbox WHERE cache IN ('users', 'rosters')`).Scan(&n)
	return n, err
}
