package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

const (
	// consumerEnv is set in the process that follows; it is this program again.
	consumerEnv = "LARDER_OUTBOX_CONSUMER"
	holdEnv     = "hold" // its value, if the consumer is to be killed with changes in its hands
)

// process is a consumer seen from outside.
type process struct {
	command *exec.Cmd
	in      io.Closer
	out     *bufio.Reader
}

// startConsumer starts one; it ends when its standard input does, thus also when
// this process dies.
func startConsumer(ctx context.Context, databaseURL, redisURL, mode string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self)
	command.Env = append(os.Environ(), consumerEnv+"="+mode, "DATABASE_URL="+databaseURL, "REDIS_URL="+redisURL)
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
		return nil, fmt.Errorf("start a consumer: %w", err)
	}
	return &process{command: command, in: in, out: bufio.NewReader(out)}, nil
}

// killHolding waits until the consumer holds changes and kills it with SIGKILL.
func (p *process) killHolding() error {
	_, err := p.out.ReadString('\n')
	if err != nil {
		return errors.Join(fmt.Errorf("the consumer ended by itself: %w", err), p.command.Wait())
	}
	err = p.command.Process.Kill()
	_ = p.command.Wait() // "signal: killed"
	return err
}

// end lets the consumer finish and waits for it.
func (p *process) end() error { return errors.Join(p.in.Close(), p.command.Wait()) }
