// Accounts shows write-through over SQL while processes race: two of them Set,
// Update and read the same few accounts through one cache. After each round the
// cache is compared with the table: every account is cached as its row is, or
// not at all.
//
//	go run .
//
// It needs nothing but Go: the database is SQLite unless DATABASE_URL names a
// PostgreSQL, and Redis is embedded unless REDIS_URL names one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// race is the size of it all.
type race struct {
	accounts  int
	processes int
	rounds    int
	round     time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(racerEnv) != "" {
		exitOn(runRacer(ctx, os.Stdin, os.Stdout))
		return
	}
	r := race{processes: 2}
	flag.IntVar(&r.accounts, "accounts", 10, "how many accounts the processes share: the fewer, the harder the race")
	flag.IntVar(&r.rounds, "rounds", 10, "how often they race")
	flag.DurationVar(&r.round, "round", 500*time.Millisecond, "for how long each time")
	flag.Parse()
	exitOn(r.run(ctx, os.Stdout))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "accounts:", err)
		os.Exit(1)
	}
}

// run opens Redis and the database, races, and reports. An error is also what
// the race was to show does not happen.
func (r race) run(ctx context.Context, out io.Writer) (err error) {
	if r.accounts < 1 || r.rounds < 1 || r.round <= 0 {
		return errors.New("-accounts, -rounds and -round must be positive")
	}
	db, err := prepareDatabase(ctx, os.Getenv("DATABASE_URL"), r.ids())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rdb, err := openRedis(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rdb.Close()) }()
	result, err := r.race(ctx, db, rdb)
	if err != nil {
		return err
	}
	return result.report(out)
}

// race starts the processes, lets them run at the same time, and looks at the
// cache whenever they rest.
func (r race) race(ctx context.Context, db *database, rdb *redisServer) (result outcome, err error) {
	accounts, err := openAccounts(rdb.client, &repository{db.DB})
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, accounts.Close()) }()
	if err := accounts.Invalidate(ctx, r.ids()...); err != nil { // a Redis of yours may remember an earlier run
		return result, err
	}
	result.race = r
	var racers []*process
	defer func() {
		for _, p := range racers {
			err = errors.Join(err, p.end())
		}
	}()
	for range r.processes {
		p, err := startRacer(ctx, db.url, rdb.url)
		if err != nil {
			return result, err
		}
		racers = append(racers, p)
	}
	audit := auditor{accounts: accounts, rows: &repository{db.DB}}
	for range r.rounds {
		if err := errors.Join(result.add(racers, r), audit.check(ctx, r.ids(), &result)); err != nil {
			return result, err
		}
	}
	return result, nil
}

func (r race) ids() []string {
	ids := make([]string, r.accounts)
	for i := range ids {
		ids[i] = strconv.Itoa(i + 1)
	}
	return ids
}
