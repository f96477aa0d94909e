package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// racerEnv is set in the processes that race; they are this program again.
const racerEnv = "LARDER_ACCOUNTS_RACER"

// process is a racer seen from outside. What it reads are rounds, what it
// writes are their counts, one JSON value each.
type process struct {
	command *exec.Cmd
	rounds  io.WriteCloser
	counts  *json.Decoder
}

// round is what a racer is told.
type round struct {
	Accounts []string
	For      time.Duration
}

// startRacer starts one; it ends when its standard input does, thus also when
// this process dies.
func startRacer(ctx context.Context, databaseURL, redisURL string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self)
	command.Env = append(os.Environ(), racerEnv+"=1", "DATABASE_URL="+databaseURL, "REDIS_URL="+redisURL)
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
		return nil, fmt.Errorf("start a racer: %w", err)
	}
	return &process{command: command, rounds: in, counts: json.NewDecoder(out)}, nil
}

// begin starts a round and does not wait for its end.
func (p *process) begin(r round) error { return json.NewEncoder(p.rounds).Encode(r) }

// finish waits for the end of a round.
func (p *process) finish() (c counts, err error) {
	if err := p.counts.Decode(&c); err != nil {
		return c, fmt.Errorf("racer %d: %w", p.command.Process.Pid, err)
	}
	return c, nil
}

// end tells the process that there are no more rounds and waits for it.
func (p *process) end() error { return errors.Join(p.rounds.Close(), p.command.Wait()) }
