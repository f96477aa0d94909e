package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// User is a row of larder_users.
type User struct{ ID, Name, Team string }

// caches are what depends on the table.
type caches struct {
	users   *cache.Cache[User]
	rosters *cache.Cache[[]User] // lists, whose keys the triggers do not know: they have tags
}

func openCaches(rdb redis.UniversalClient) (c caches, err error) {
	if c.users, err = cache.New(rdb, "users", cache.Aside[User]()); err != nil {
		return c, err
	}
	c.rosters, err = cache.New(rdb, "rosters", cache.Aside[[]User]())
	return c, err
}

// shutdown closes them. Their own queues of invalidations, which a Redis that was down
// has filled, may not be empty yet; what is in them is in the outbox too, unless
// Redis has accepted it since.
func (c caches) shutdown() error {
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(c.users.Shutdown(grace), c.rosters.Shutdown(grace))
}

// readers read the table through the caches.
type readers struct {
	caches
	rows *pgxpool.Pool
}

func (r *readers) user(ctx context.Context, id string) (User, error) {
	return r.users.GetOrLoad(ctx, id, r.find)
}

// find is the loader. That there is no row Is cache.ErrNotFound to those who call
// the cache.
func (r *readers) find(ctx context.Context, id string) (u User, err error) {
	err = r.rows.QueryRow(ctx, `SELECT id, name, team FROM larder_users WHERE id = $1`, id).Scan(&u.ID, &u.Name, &u.Team)
	return u, err
}

// roster is the first n users of a team.
func (r *readers) roster(ctx context.Context, team string, n int) ([]User, error) {
	return r.rosters.GetOrLoad(ctx, cache.HashKey(team, n), func(ctx context.Context, _ string) ([]User, error) {
		rows, err := r.rows.Query(ctx, `SELECT id, name, team FROM larder_users WHERE team = $1 ORDER BY id LIMIT $2`, team, n)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowToStructByPos[User])
	}, cache.Tagged("team/"+team))
}
