package main

import (
	"context"
	"sync"

	"github.com/larder-go/cache/bench/peers"
	"github.com/larder-go/cache/bench/runner"
	"github.com/larder-go/cache/bench/work"
)

// fillJob is the job of a child that puts a row's entries into Redis.
const fillJob = "fill"

const fillers = 16

// fill has the row load all keys, as its users would, then looks at each again.
func fill(c *runner.Child) (runner.Sample, error) {
	p, err := open(c, peers.Env{Load: work.Instant(c.Spec.Size)})
	if err != nil {
		return nil, err
	}
	if err := c.Ready(); err != nil {
		return nil, err
	}
	if err := getAll(p, work.Keys(c.Spec.Keys)); err != nil {
		return nil, err
	}
	return c.Stop(int64(c.Spec.Keys)), nil
}

// open opens the row of the Spec, until the child ends.
func open(c *runner.Child, env peers.Env) (peers.Peer, error) {
	row, err := peers.Find(c.Spec.Row)
	if err != nil {
		return nil, err
	}
	env.Addr = c.Spec.Addr
	p, err := row.Open(env)
	if err != nil {
		return nil, err
	}
	c.Cleanup(func() { _ = p.Close() }) // what was measured is told already
	return p, nil
}

// getAll gets each key once.
func getAll(p peers.Peer, keys []string) error {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	for filler := range fillers {
		all.Go(func() {
			var doc work.Doc
			for i := filler; i < len(keys); i += fillers {
				if err := p.Get(context.Background(), keys[i], &doc); err != nil {
					mu.Lock()
					defer mu.Unlock()
					first = err
					return
				}
			}
		})
	}
	all.Wait()
	return first
}

// fillRows fills a Redis of its own for each row, since rows may use the same names
// for different bytes.
func (b *bench) fillRows(rows []peers.Row, keys, size int) (map[string]*runner.Server, error) {
	servers := map[string]*runner.Server{}
	for _, row := range rows {
		s, err := b.server()
		if err != nil {
			return nil, err
		}
		servers[row.Name] = s
		if _, _, err := b.measure(s, runner.Spec{Job: fillJob, Row: row.Name, Keys: keys, Size: size, Goroutines: fillers}); err != nil {
			return nil, err
		}
	}
	return servers, nil
}
