package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

// process is a worker seen from outside.
type process struct {
	command *exec.Cmd
	in      io.Closer
	begun   chan struct{} // has an element after a batch has begun
	done    chan struct{} // closed when its last event has been read

	inHand, written, batches atomic.Int64 // rows in the sink's hands; rows and batches that the table took
}

// startWorker starts one; it ends when its standard input does, thus also when
// this process dies.
func startWorker(ctx context.Context, databaseURL, redisURL, volatile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self)
	command.Env = append(os.Environ(), workerEnv+"=1", volatileEnv+"="+volatile,
		"DATABASE_URL="+databaseURL, "REDIS_URL="+redisURL)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	p := &process{command: command, in: in, begun: make(chan struct{}, 1), done: make(chan struct{})}
	go p.listen(out)
	return p, nil
}

// listen counts what the worker tells, until it ends.
func (p *process) listen(out io.Reader) {
	defer close(p.done)
	events := json.NewDecoder(out)
	for {
		var e event
		if events.Decode(&e) != nil {
			return
		}
		p.inHand.Add(int64(e.Begun - e.Written - e.Failed))
		p.written.Add(int64(e.Written))
		if e.Written > 0 {
			p.batches.Add(1)
		}
		if e.Begun > 0 {
			select {
			case p.begun <- struct{}{}:
			default:
			}
		}
	}
}

// killInBatch waits until a batch is being written and kills the process with
// SIGKILL; after 2 s without one it kills all the same. It returns how many rows it had in hand, as far as it told.
func (p *process) killInBatch(ctx context.Context) (int64, error) {
	select {
	case <-p.begun: // perhaps long ago
	default:
	}
	select {
	case <-p.begun:
	case <-time.After(2 * time.Second): // there is nothing to write: it dies idle
	case <-p.done:
		return 0, errors.Join(errors.New("a worker ended by itself"), p.command.Wait())
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select { // on the way to the table, there, or on the way back
	case <-time.After(rand.N(2 * distance)):
	case <-ctx.Done():
	}
	if err := p.command.Process.Kill(); err != nil {
		return 0, err
	}
	<-p.done
	_ = p.command.Wait() // "signal: killed"
	return p.inHand.Load(), nil
}

// end lets the process finish its work and waits for it.
func (p *process) end() error {
	err := p.in.Close()
	<-p.done
	return errors.Join(err, p.command.Wait())
}
