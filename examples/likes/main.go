// Likes shows write-behind under fire: 2,000 goroutines like posts 100,000 times.
// Each like goes to Redis alone; worker processes bring the totals to SQL, and
// are killed with kill -9 while they do. At the end SQL must have every like.
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
	"syscall"
)

// volatileEnv accepts a Redis of yours that may lose unflushed writes.
const volatileEnv = "ACCEPT_VOLATILE"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(workerEnv) != "" {
		exitOn(runWorker(ctx, os.Stdin, os.Stdout))
		return
	}
	var d drill
	flag.IntVar(&d.likes, "likes", 100_000, "how many likes are made")
	flag.IntVar(&d.posts, "posts", 100, "of how many posts")
	flag.IntVar(&d.goroutines, "goroutines", 2000, "by how many goroutines")
	flag.IntVar(&d.kills, "kills", 3, "how many workers are killed on the way")
	flag.Parse()
	exitOn(run(ctx, d, os.Stdout))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "likes:", err)
		os.Exit(1)
	}
}

// run opens Redis and the database, does the drill, and reports. An error is
// also what the drill was to show does not happen.
func run(ctx context.Context, d drill, out io.Writer) (err error) {
	if d.likes < 1 || d.posts < 1 || d.goroutines < 1 || d.kills < 0 {
		return errors.New("-likes, -posts and -goroutines must be positive, -kills not negative")
	}
	db, err := prepareDatabase(ctx, os.Getenv("DATABASE_URL"))
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
