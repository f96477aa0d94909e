package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache"
)

// racersPerProcess is how many goroutines of a process work on the accounts.
const racersPerProcess = 4

// counts are what happened in a round, in one process.
type counts struct {
	Sets, Updates   int64
	Kept, Absent    int64 // what a Set left in the cache, as its own process saw it next
	Reads, Loads    int64
	Stale           int64 // reads that were served less than the table had before them
	Refused, Queued int64 // writes that Redis could not guard; invalidations it did not take
}

// runRacer is a whole process: it races whenever a line of in tells it to.
func runRacer(ctx context.Context, in io.Reader, out io.Writer) (err error) {
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
	repo := &repository{db}
	accounts, err := openAccounts(rdb.client, repo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, accounts.Close()) }()

	rounds, results := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var next round
		if err := rounds.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r := racer{accounts: accounts, repo: repo, ids: next.Accounts}
		c, err := r.race(ctx, next.For)
		if err := errors.Join(err, results.Encode(c)); err != nil {
			return err
		}
	}
}

// racer is a round in one process.
type racer struct {
	accounts *cache.Cache[Account]
	repo     *repository
	ids      []string

	sets, updates, kept, absent, reads, stale, refused, queued atomic.Int64
}

// race works on random accounts for d.
func (r *racer) race(ctx context.Context, d time.Duration) (counts, error) {
	before, until := r.accounts.Stats(), time.Now().Add(d)
	errs := make([]error, racersPerProcess)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for errs[i] == nil && time.Now().Before(until) {
				errs[i] = r.step(ctx, r.ids[rand.IntN(len(r.ids))])
			}
		})
	}
	all.Wait()
	return counts{
		Sets: r.sets.Load(), Updates: r.updates.Load(), Kept: r.kept.Load(), Absent: r.absent.Load(),
		Reads: r.reads.Load(), Loads: r.accounts.Stats().Loads - before.Loads, Stale: r.stale.Load(),
		Refused: r.refused.Load(), Queued: r.queued.Load(),
	}, errors.Join(errs...)
}

// step reads in three of five cases, sets in one and updates in one.
func (r *racer) step(ctx context.Context, id string) error {
	switch rand.IntN(5) {
	case 0:
		return r.set(ctx, id)
	case 1:
		return r.written(&r.updates, r.accounts.Update(ctx, id, func(ctx context.Context) error {
			return r.repo.Deposit(ctx, id, 100)
		}))
	}
	return r.read(ctx, id)
}

// set writes an account and looks what that left in the cache: the row, or
// nothing if another write of it overlapped.
func (r *racer) set(ctx context.Context, id string) error {
	a := Account{Owner: fmt.Sprintf("process %d", os.Getpid()), Cents: rand.Int64N(1_000_000)}
	if err := r.written(&r.sets, r.accounts.Set(ctx, id, a)); err != nil {
		return err
	}
	_, err := r.accounts.Get(ctx, id)
	var redisFailed *cache.OpError
	switch {
	case err == nil:
		r.kept.Add(1)
	case errors.Is(err, cache.ErrMiss):
		r.absent.Add(1)
	case !errors.As(err, &redisFailed):
		return err
	}
	return nil
}

// written counts a write. ErrPending says that it was made, any other
// *cache.OpError, because of FailClosed, that it was not.
func (r *racer) written(count *atomic.Int64, err error) error {
	var guard *cache.OpError
	switch {
	case err == nil:
		count.Add(1)
	case errors.Is(err, cache.ErrPending):
		count.Add(1)
		r.queued.Add(1)
	case errors.As(err, &guard):
		r.refused.Add(1)
	default:
		return err
	}
	return nil
}

// read asks the table for the version first and then the cache, which must not
// be behind: the intent of a write is in the cache before its commit is in the
// table, and from then on no older entry is served or stored.
func (r *racer) read(ctx context.Context, id string) error {
	row, err := r.repo.Find(ctx, id)
	if err != nil {
		return err
	}
	a, err := r.accounts.GetOrLoad(ctx, id, r.repo.Find)
	if err != nil {
		return err
	}
	r.reads.Add(1)
	if a.Version < row.Version {
		r.stale.Add(1)
	}
	return nil
}
