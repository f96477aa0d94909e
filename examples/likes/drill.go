package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/larder-go/cache"
)

// drill is the size of it all.
type drill struct{ likes, posts, goroutines, kills int }

// patience is for how long the drill waits for anything.
const patience = 2 * time.Minute

// putsAtOnce are few, since the embedded Redis takes a millisecond for each, and
// the workers have to get a word in.
const putsAtOnce = 6

// run makes the likes, kills workers meanwhile, waits until all is written, and
// counts.
func (d drill) run(ctx context.Context, db *database, rdb *redisServer) (result outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The embedded Redis does not tell well how long a worker has been silent, so
	// there one works at a time; elsewhere the other takes over from a dead one.
	volatile, workers := "the embedded Redis ends with this program, and all that is in it", 1
	if rdb.embedded == nil {
		volatile, workers = os.Getenv(volatileEnv), 2
	}
	likes, err := openLikes(rdb.client, nil, volatile)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, likes.Close()) }()
	crew := &team{start: func() (*process, error) {
		return startWorker(ctx, db.url, rdb.url, volatile)
	}}
	defer func() { err = errors.Join(err, crew.end()) }()
	if err := crew.add(workers); err != nil {
		return result, err
	}
	result = outcome{drill: d, workers: workers}
	posts := d.newPosts()
	began := time.Now()
	if err := d.like(ctx, newCrowd(posts, d.goroutines, d.likes, d.kills, newPutter(likes, putsAtOnce)), crew); err != nil {
		return result, err
	}
	result.took = time.Since(began)
	err = likes.Flush(ctx)
	for unanswered := (*cache.OpError)(nil); errors.As(err, &unanswered) && ctx.Err() == nil; {
		err = likes.Flush(ctx) // a Redis that was busy for a moment
	}
	if err != nil {
		return result, fmt.Errorf("wait for the workers: %w", err)
	}
	result.flushed = time.Since(began)
	err = errors.Join(crew.end(), result.compare(ctx, posts, db, likes))
	result.tally = crew.tally
	return result, err
}

// like lets the crowd run and kills a worker at each of its milestones.
func (d drill) like(ctx context.Context, crowd *crowd, crew *team) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	killed := make(chan error, 1)
	go func() {
		err := crew.killAt(ctx, crowd.milestones)
		if err != nil {
			cancel()
		}
		killed <- err
	}()
	err := crowd.run(ctx)
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-killed)
}

// newPosts names the posts after this run: what an earlier one left is not ours.
func (d drill) newPosts() []*post {
	run := strconv.FormatInt(time.Now().UnixMicro(), 36)
	posts := make([]*post, d.posts)
	for i := range posts {
		posts[i] = &post{key: fmt.Sprintf("%s/%d", run, i+1)}
	}
	return posts
}

// compare adds up what was made, what SQL has, and what readers get.
func (o *outcome) compare(ctx context.Context, posts []*post, db *database, likes *cache.Cache[Likes]) error {
	for _, p := range posts {
		made := p.made.Load()
		if made == 0 {
			continue
		}
		row, err := db.total(ctx, p.key)
		if err != nil {
			return err
		}
		read, err := likes.GetOrLoad(ctx, p.key, func(ctx context.Context, key string) (Likes, error) {
			total, err := db.total(ctx, key)
			return Likes{Total: total}, err
		})
		if err != nil {
			return err
		}
		o.liked++
		o.made, o.stored, o.read = o.made+made, o.stored+row, o.read+read.Total
		o.puts, o.failures = o.puts+p.puts, o.failures+p.failures
		if row != made || read.Total != made {
			o.different = append(o.different, fmt.Sprintf("%s: %d made, %d in SQL, %d read", p.key, made, row, read.Total))
		}
	}
	return nil
}
