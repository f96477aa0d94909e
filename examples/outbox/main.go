// Outbox shows caches that follow a database: triggers write into an outbox table
// what each transaction makes invalid, and a consumer that listens to PostgreSQL
// invalidates it. Who writes needs plain SQL and knows nothing of the caches. The
// consumer is killed and Redis is stopped on the way; no change is lost.
//
//	go run .
//
// It starts a PostgreSQL in a temporary folder, if one is installed, unless
// DATABASE_URL names one. Redis is embedded unless REDIS_URL names one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	redis.SetLogger(quiet{})
	if mode := os.Getenv(consumerEnv); mode != "" {
		exitOn(runConsumer(ctx, os.Stdin, os.Stdout, mode == holdEnv))
		return
	}
	var d drill
	flag.IntVar(&d.updates, "updates", 200, "how many UPDATE statements are timed")
	flag.IntVar(&d.rows, "rows", 20, "how many users there are, all of which change when something fails")
	flag.DurationVar(&d.outage, "outage", 2*time.Second, "for how long Redis is down")
	flag.Parse()
	exitOn(run(ctx, d, os.Stdout))
}

// quiet keeps the client from telling of each connection that is refused: the drill
// stops Redis.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "outbox:", err)
		os.Exit(1)
	}
}

// run opens Redis and the database, does the drill, and reports. An error is
// also what the drill was to show does not happen.
func run(ctx context.Context, d drill, out io.Writer) (err error) {
	if d.updates < 1 || d.rows < 2 || d.outage <= 0 {
		return errors.New("-updates and -outage must be positive, -rows at least 2")
	}
	db, err := openDatabase(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rdb, err := openRedis(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rdb.Close()) }()
	result, err := d.run(ctx, db, rdb)
	if err != nil {
		return err
	}
	return result.report(out)
}
