package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache"
)

// post counts the likes of one post in this process. Totals are put one after
// the other: of two at the same time the lower could come last and stay.
type post struct {
	key  string
	made atomic.Int64 // likes

	mu       sync.Mutex // protects what follows, and is held during a put
	total    int64      // what Redis has acknowledged
	puts     int64
	failures int64 // puts without an answer
}

// putter puts the total that a post has by then, and returns it.
type putter func(ctx context.Context, p *post) (total int64, err error)

// newPutter makes so many puts at once, so that none waits for the client's pool
// for longer than the cache waits for Redis.
func newPutter(likes *cache.Cache[Likes], atOnce int) putter {
	slots := make(chan struct{}, atOnce)
	return func(ctx context.Context, p *post) (int64, error) {
		slots <- struct{}{}
		defer func() { <-slots }()
		total := p.made.Load()
		return total, likes.Set(ctx, p.key, Likes{Total: total})
	}
}

// like adds one and returns when Redis has acknowledged a total that includes
// it. Those who wait for the put before theirs share the next one.
func (p *post) like(ctx context.Context, put putter) error {
	mine := p.made.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total >= mine {
		return nil
	}
	return p.putLocked(ctx, put)
}

// settle puts the total once more if a put was ever left without an answer: such
// a put may take effect late, after the one that repeated it.
func (p *post) settle(ctx context.Context, put putter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return nil
	}
	return p.putLocked(ctx, put)
}

// putLocked repeats a put that Redis did not answer, until ctx ends: totals may
// be put twice.
func (p *post) putLocked(ctx context.Context, put putter) error {
	for {
		total, err := put(ctx, p)
		var unanswered *cache.OpError
		switch {
		case err == nil:
			p.total = total
			p.puts++
			return nil
		case !errors.As(err, &unanswered):
			return err
		}
		p.failures++
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}
