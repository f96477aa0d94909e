package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/larder-go/cache"
)

const (
	lookAgain = 5 * time.Second // should a notification be missed
	answerIn  = 5 * time.Second // else the connection is given up
	batch     = 500             // rows that are invalidated together
)

// outbox is the rows of larder_outbox that are one cache's: a cache.InvalidationLog.
// It looks into the table when it starts, after each notification, whenever it had
// to connect again, since nobody keeps notifications for a listener that is not
// there, and every few seconds.
//
// A row goes only when its change is done. It is named by its id, never by "up to
// here": ids are given before the commit, so 7 may become visible after 8 was read.
type outbox struct {
	url, cache string
	every      time.Duration // how often it looks without a notification
	conn       *pgx.Conn     // nil: to be opened
}

// Next is called by one goroutine, as Follow does it.
func (o *outbox) Next(ctx context.Context) ([]cache.Change, error) {
	for {
		if err := o.listen(ctx); err != nil {
			return nil, err
		}
		changes, err := o.read(ctx)
		if err != nil || len(changes) > 0 {
			return changes, o.checked(err)
		}
		if err := o.wait(ctx); err != nil {
			return nil, o.checked(err)
		}
	}
}

// Done deletes the rows of the changes. What another consumer has deleted is not
// there, which is no error.
func (o *outbox) Done(ctx context.Context, changes []cache.Change) error {
	if err := o.listen(ctx); err != nil {
		return err
	}
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = c.ID
	}
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	_, err := o.conn.Exec(ctx, `DELETE FROM larder_outbox WHERE id = ANY($1::text[]::bigint[])`, ids)
	return o.checked(err)
}

// listen connects, unless it has. It listens before anything is read: what commits
// in between is then read, or notified, or both.
func (o *outbox) listen(ctx context.Context) (err error) {
	if o.conn != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	if o.conn, err = pgx.Connect(ctx, o.url); err != nil {
		return err
	}
	_, err = o.conn.Exec(ctx, `LISTEN larder_outbox`)
	return o.checked(err)
}

// read returns the oldest rows.
func (o *outbox) read(ctx context.Context) ([]cache.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	o.forget()
	rows, err := o.conn.Query(ctx, `
		SELECT id::text, keys, tags, everything FROM larder_outbox WHERE cache = $1 ORDER BY id LIMIT $2`, o.cache, batch)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[cache.Change])
}

// forget drops the notifications that are here already: what they are about has
// been committed, and is read next.
func (o *outbox) forget() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		if n, _ := o.conn.WaitForNotification(over); n == nil {
			return
		}
	}
}

// wait returns when it is time to look into the table.
func (o *outbox) wait(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, o.every)
	defer cancel()
	_, err := o.conn.WaitForNotification(soon)
	if soon.Err() != nil && ctx.Err() == nil && !o.conn.IsClosed() {
		return nil
	}
	return err
}

// checked gives the connection up after an error: whatever it was, a new one that
// reads the table anew is right.
func (o *outbox) checked(err error) error {
	if err != nil {
		o.Close()
	}
	return err
}

// Close disconnects.
func (o *outbox) Close() {
	if o.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = o.conn.Close(ctx) // nothing is left to be lost
	o.conn = nil
}
