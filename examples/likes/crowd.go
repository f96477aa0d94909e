package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// crowd is the goroutines that like posts.
type crowd struct {
	posts      []*post
	goroutines int
	likes      int
	put        putter
	made       atomic.Int64
	milestones []chan struct{} // closed when that part of the likes is made
}

// newCrowd has parts milestones, evenly spread, the last before the end.
func newCrowd(posts []*post, goroutines, likes, parts int, put putter) *crowd {
	c := &crowd{posts: posts, goroutines: goroutines, likes: likes, put: put}
	for range parts {
		c.milestones = append(c.milestones, make(chan struct{}))
	}
	return c
}

// run makes all the likes, of few posts many (Zipf), as on any front page.
func (c *crowd) run(ctx context.Context) error {
	errs := make([]error, c.goroutines)
	var left atomic.Int64
	left.Store(int64(c.likes))
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			zipf := rand.NewZipf(rand.New(rand.NewPCG(1, uint64(i))), 1.1, 10, uint64(len(c.posts)-1))
			for errs[i] == nil && left.Add(-1) >= 0 {
				errs[i] = c.posts[zipf.Uint64()].like(ctx, c.put)
				c.count()
			}
		})
	}
	all.Wait()
	for _, p := range c.posts {
		errs = append(errs, p.settle(ctx, c.put))
	}
	return cmp.Or(errs...) // one for all: they fail for the same reason
}

// count adds a like and passes the milestone that it reaches.
func (c *crowd) count() {
	made, parts := int(c.made.Add(1)), len(c.milestones)
	for i := range parts {
		if made == c.likes*(i+1)/(parts+1) {
			close(c.milestones[i])
		}
	}
}
