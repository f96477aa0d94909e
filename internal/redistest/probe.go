package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const probeTimeout = time.Second

// awaitLocked polls until the process answers, is gone, or ctx or the time for a
// start ends.
func (p *Process) awaitLocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	var last error
	for {
		if last = probe(p.Addr(), p.proc.Pid); last == nil {
			return nil
		}
		select {
		case <-p.exited:
			return errors.New("process ended")
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-poll.C:
		}
	}
}

// probe asks the server at addr for a sign of life over a connection of its own.
// A server that is still loading its data is not alive yet. The process id keeps
// another server, which took the port first, from answering for ours.
func probe(addr string, pid int) error {
	c, err := net.DialTimeout("tcp", addr, probeTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err = c.SetDeadline(time.Now().Add(probeTimeout)); err != nil {
		return err
	}
	if _, err = c.Write([]byte("PING\r\nINFO server\r\n")); err != nil {
		return err
	}
	lines := bufio.NewScanner(c)
	if !lines.Scan() || lines.Text() != "+PONG" {
		return fmt.Errorf("no answer to PING: %q", lines.Text())
	}
	for lines.Scan() {
		if got, ok := strings.CutPrefix(lines.Text(), "process_id:"); ok {
			if got != strconv.Itoa(pid) {
				return fmt.Errorf("%w: by process %s", errPortTaken, got)
			}
			return nil
		}
	}
	return errors.New("no process id in INFO")
}
