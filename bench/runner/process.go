package runner

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Process is a child, from the parent's side.
type Process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	row string
}

// Start starts a child of this program and returns when it is ready.
func Start(spec Spec) (*Process, error) {
	p, err := Launch(spec)
	if err != nil {
		return nil, err
	}
	if err := p.AwaitReady(); err != nil {
		return nil, err
	}
	return p, nil
}

// Launch starts a child and does not wait until it is ready.
func Launch(spec Spec) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), EnvSpec+"="+string(data))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Process{cmd: cmd, in: in, out: bufio.NewReader(out), row: spec.Row}, nil
}

// AwaitReady returns when the child is ready.
func (p *Process) AwaitReady() error {
	_, err := p.expect(sayReady)
	return err
}

// Go gives the word.
func (p *Process) Go() error { return p.GoAt(time.Time{}) }

// GoAt gives the word for a time, so that several children begin together; one in
// the past is now.
func (p *Process) GoAt(at time.Time) error {
	_, err := fmt.Fprintln(p.in, at.UnixMicro())
	return err
}

// Result returns what the child found, when it is done measuring. The child still
// holds its connections.
func (p *Process) Result() (Sample, error) {
	line, err := p.expect(sayResult)
	if err != nil {
		return nil, err
	}
	var s Sample
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, sayResult)), &s); err != nil {
		return nil, p.fail(err)
	}
	return s, nil
}

// Close lets the child end and waits for it.
func (p *Process) Close() error {
	_ = p.in.Close() // it may be gone
	_, _ = io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.row, err)
	}
	return nil
}

// expect reads lines until one begins as said. What else the child's libraries
// print on standard output is left out.
func (p *Process) expect(prefix string) (string, error) {
	for {
		line, err := p.out.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, prefix):
			return line, nil
		case strings.HasPrefix(line, sayError):
			return "", p.fail(fmt.Errorf("%s", strings.TrimPrefix(line, sayError)))
		case err != nil:
			return "", p.fail(err)
		}
	}
}

// fail ends the child, which is of no use any more.
func (p *Process) fail(err error) error {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.Close()            // killed: the error says nothing else
	return fmt.Errorf("%s: %w", p.row, err)
}
