package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// workerEnv is set in the processes that write to the table; they are this
// program again.
const workerEnv = "LARDER_LIKES_WORKER"

// event is what a worker tells the first process: a batch of so many rows is
// about to be written, or has been, or could not be.
type event struct {
	Begun, Written, Failed int
}

// runWorker is a whole process: it writes behind until in ends, and tells out.
func runWorker(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	db, err := openDatabase(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rdb, err := openRedis(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rdb.Close()) }()
	likes, err := joinLikes(ctx, rdb.client, tell(out, newSink(db).Write))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)                                               // nothing comes: it ends when the first process wants so, or dies
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // a signal has ended ctx
	defer cancel()
	return errors.Join(err, likes.Shutdown(ctx))
}

// joinLikes opens the cache, and tries for a while: a Redis that is busy with a
// crowd may not answer within New's time.
func joinLikes(ctx context.Context, rdb redis.UniversalClient, sink cache.BatchWriter[Likes]) (*cache.Cache[Likes], error) {
	for try := 1; ; try++ {
		likes, err := openLikes(rdb, sink, os.Getenv(volatileEnv))
		if err == nil || try == 20 || ctx.Err() != nil {
			return likes, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// distance is how long a batch travels to a database that is not on this
// machine, and its answer back: enough to be killed on the way.
const distance = 10 * time.Millisecond

// tell writes an event before and after each batch, and makes the table distant.
func tell(out io.Writer, write cache.BatchWriter[Likes]) cache.BatchWriter[Likes] {
	var mu sync.Mutex // keeps the lines apart
	encoder := json.NewEncoder(out)
	say := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		if err := encoder.Encode(e); err != nil {
			slog.Error("tell the first process", "error", err)
		}
	}
	return func(ctx context.Context, batch []cache.Mutation[Likes]) error {
		say(event{Begun: len(batch)})
		travel(ctx)
		if err := write(ctx, batch); err != nil {
			slog.Warn("the table did not take a batch; it comes again", "rows", len(batch), "error", err)
			say(event{Failed: len(batch)})
			return err
		}
		travel(ctx)
		say(event{Written: len(batch)})
		return nil
	}
}

func travel(ctx context.Context) {
	select {
	case <-time.After(distance):
	case <-ctx.Done():
	}
}
