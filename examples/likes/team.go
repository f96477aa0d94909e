package main

import (
	"context"
	"errors"
)

// team is the worker processes, some of which are killed.
type team struct {
	start func() (*process, error) // one more, whose life is not that of a call
	alive []*process
	tally
}

// tally is what became of the processes and their rows.
type tally struct {
	killedIn []int64 // rows in the hands of each process that was killed
	written  int64
	batches  int64
}

// add starts n processes.
func (t *team) add(n int) error {
	for range n {
		p, err := t.start()
		if err != nil {
			return err
		}
		t.alive = append(t.alive, p)
	}
	return nil
}

// killAt kills a process at each milestone, when that is closed.
func (t *team) killAt(ctx context.Context, milestones []chan struct{}) error {
	for _, milestone := range milestones {
		select {
		case <-milestone:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := t.killOne(ctx); err != nil {
			return err
		}
	}
	return nil
}

// killOne kills the oldest process while it writes, and starts another.
func (t *team) killOne(ctx context.Context) error {
	p := t.alive[0]
	rows, err := p.killInBatch(ctx)
	if err != nil && ctx.Err() != nil {
		return err // it lives
	}
	t.alive = t.alive[1:]
	if err != nil {
		return err
	}
	t.killedIn = append(t.killedIn, rows)
	t.count(p)
	return t.add(1)
}

// end lets the processes finish.
func (t *team) end() (err error) {
	for _, p := range t.alive {
		err = errors.Join(err, p.end())
		t.count(p)
	}
	t.alive = nil
	return err
}

func (t *team) count(p *process) {
	t.written += p.written.Load()
	t.batches += p.batches.Load()
}
