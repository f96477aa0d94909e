package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// drill is the size of it all.
type drill struct {
	updates, rows int
	outage        time.Duration
}

// patience is for how long the drill waits for anything.
const patience = 2 * time.Minute

// stage is what the acts of the drill are played on.
type stage struct {
	drill
	table    *table
	rdb      *redisServer
	readers  *readers
	consumer *process // nil while none runs
	outcome
}

// run plays the acts one after another and compares at the end.
func (d drill) run(ctx context.Context, db *database, rdb *redisServer) (result outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := &stage{drill: d, rdb: rdb}
	s.outcome.drill = d
	if s.table, err = newTable(ctx, db, d.rows); err != nil {
		return result, err
	}
	caches, err := openCaches(rdb.client)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, caches.shutdown()) }()
	s.readers = &readers{caches: caches, rows: db.Pool}
	defer func() { err = errors.Join(err, s.end()) }()
	for _, act := range []func(context.Context) error{s.settle, s.follow, s.kill, s.stopRedis, s.settle, s.compare} {
		if err := act(ctx); err != nil {
			return result, err
		}
	}
	return s.outcome, nil
}

// start starts a consumer.
func (s *stage) start(ctx context.Context, mode string) (err error) {
	s.consumer, err = startConsumer(ctx, s.table.url, s.rdb.url, mode)
	return err
}

// end ends it.
func (s *stage) end() error {
	if s.consumer == nil {
		return nil
	}
	err := s.consumer.end()
	s.consumer = nil
	return err
}

// settle waits until the outbox is empty.
func (s *stage) settle(ctx context.Context) error {
	if s.consumer == nil {
		if err := s.start(ctx, "follow"); err != nil {
			return err
		}
	}
	return until(ctx, "the outbox is empty", func() (bool, error) {
		n, err := s.table.waiting(ctx)
		return n == 0, err
	})
}

// follow measures how long after an UPDATE readers of the cache see it, and lets a
// user change teams: both lists change.
func (s *stage) follow(ctx context.Context) error {
	if _, err := s.stale(ctx, ""); err != nil { // all are cached now
		return err
	}
	for i := range s.updates {
		id := s.table.ids[i%len(s.table.ids)]
		name, err := s.table.rename(ctx, id)
		if err != nil {
			return err
		}
		committed := time.Now()
		if err := s.seen(ctx, name, id); err != nil {
			return err
		}
		s.seenAfter = append(s.seenAfter, time.Since(committed))
	}
	last := s.table.ids[len(s.table.ids)-1]
	for _, team := range []string{teamB, teamA, teamB} {
		if err := s.table.move(ctx, last, team); err != nil {
			return err
		}
		if err := s.listed(ctx, last, team); err != nil {
			return err
		}
		s.moves++
	}
	return nil
}

// kill kills the consumer after it has read changes and before it has invalidated
// anything, and starts another.
func (s *stage) kill(ctx context.Context) error {
	if err := errors.Join(s.settle(ctx), s.end(), s.start(ctx, holdEnv)); err != nil {
		return err
	}
	if _, err := s.stale(ctx, ""); err != nil { // all are cached now
		return err
	}
	name, err := s.table.rename(ctx, s.table.ids...)
	if err != nil {
		return err
	}
	err = s.consumer.killHolding()
	s.consumer = nil
	if err != nil {
		return err
	}
	if s.killedLeft, err = s.table.waiting(ctx); err != nil {
		return err
	}
	if s.killedStale, err = s.stale(ctx, name); err != nil {
		return err
	}
	if err := s.start(ctx, "follow"); err != nil {
		return err
	}
	started := time.Now()
	err = s.seen(ctx, name, s.table.ids...)
	s.recovered = time.Since(started)
	return err
}

// stopRedis changes all rows while Redis is down.
func (s *stage) stopRedis(ctx context.Context) error {
	if s.rdb.down == nil {
		return nil
	}
	if err := errors.Join(s.settle(ctx), s.rdb.down()); err != nil {
		return err
	}
	name, err := s.table.rename(ctx, s.table.ids...)
	if err == nil {
		s.outageStale, err = s.stale(ctx, name)
	}
	if err == nil {
		err = pause(ctx, s.outage)
	}
	if err == nil {
		s.outageLeft, err = s.table.waiting(ctx)
	}
	if err := errors.Join(err, s.rdb.up()); err != nil {
		return err
	}
	back := time.Now()
	if err := errors.Join(s.settle(ctx), s.seen(ctx, name, s.table.ids...)); err != nil {
		return err
	}
	s.landed = time.Since(back)
	return nil
}

// stale counts the users that readers see under another name.
func (s *stage) stale(ctx context.Context, name string) (n int, err error) {
	for _, id := range s.table.ids {
		u, err := s.readers.user(ctx, id)
		if err != nil {
			return n, err
		}
		if u.Name != name {
			n++
		}
	}
	return n, nil
}

// seen waits until readers see these users under this name.
func (s *stage) seen(ctx context.Context, name string, ids ...string) error {
	for _, id := range ids {
		if err := until(ctx, "readers see the new name", func() (bool, error) {
			u, err := s.readers.user(ctx, id)
			return u.Name == name, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// listed waits until readers see the user in lists of this team, and in none of the
// other.
func (s *stage) listed(ctx context.Context, id, team string) error {
	return until(ctx, "the lists have changed", func() (bool, error) {
		right := true
		for _, list := range []string{teamA, teamB} {
			for _, n := range []int{s.rows, 2 * s.rows} {
				users, err := s.readers.roster(ctx, list, n)
				if err != nil {
					return false, err
				}
				has := slices.ContainsFunc(users, func(u User) bool { return u.ID == id })
				right = right && has == (list == team)
			}
		}
		return right, nil
	})
}

// compare looks for users that are cached other than their rows are.
func (s *stage) compare(ctx context.Context) error {
	for _, id := range s.table.ids {
		cached, err := s.readers.user(ctx, id)
		if err != nil {
			return err
		}
		row, err := s.readers.find(ctx, id)
		if err != nil {
			return err
		}
		s.compared++
		if cached != row {
			s.different = append(s.different, fmt.Sprintf("cached %+v, but the row is %+v", cached, row))
		}
	}
	return nil
}

// until polls.
func until(ctx context.Context, what string, ok func() (bool, error)) error {
	for {
		done, err := ok()
		if err == nil && done {
			return nil
		}
		if err == nil {
			err = pause(ctx, 200*time.Microsecond)
		}
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
