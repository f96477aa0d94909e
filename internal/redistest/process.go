package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	logFile      = "redis.log"
	configFile   = "redis.conf"
	startTimeout = time.Minute
	startTries   = 5
	pollEvery    = 5 * time.Millisecond
	logTail      = 2048
)

// errPortTaken says that another process listens on the port.
var errPortTaken = errors.New("port taken")

// Process is one redis-server process and the port and directory that stay its
// own while it is down. Its methods are safe for concurrent use.
type Process struct {
	binary string
	dir    string
	opts   settings

	mu     sync.Mutex
	port   int
	proc   *os.Process   // nil while down
	exited chan struct{} // closed when proc is gone
	closed bool
}

// Start starts a server that keeps its files in dir, which must exist, and
// returns when it answers PING. It tries other ports when its port was taken.
// Errors: [ErrNoServer]; ctx's; a server that does not start, with the end of
// its log. The caller ends it with [Process.Stop].
func Start(ctx context.Context, dir string, opts ...Option) (*Process, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("redistest: %w", err)
	}
	p := &Process{binary: binary, dir: dir}
	for _, o := range opts {
		o(&p.opts)
	}
	for range startTries {
		err = p.startOnFreePort(ctx)
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// startOnFreePort makes one try on a port of its own.
func (p *Process) startOnFreePort(ctx context.Context) error {
	port, err := reservePort(p.opts.cluster)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.port = port
	file := filepath.Join(p.dir, configFile)
	if err = os.WriteFile(file, []byte(p.opts.file(p.dir, port)), 0o600); err == nil {
		err = p.launchLocked(ctx)
	}
	if err != nil {
		releasePort(port)
	}
	return err
}

// Addr returns host and port, the same for the life of p.
func (p *Process) Addr() string { return loopback(p.port) }

// Port returns the port, the same for the life of p.
func (p *Process) Port() int { return p.port }

// Dir returns the directory with the server's files.
func (p *Process) Dir() string { return p.dir }

// Pid returns the process id, or zero while the server is down.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return 0
	}
	return p.proc.Pid
}

// Client returns a new client of the server; the caller closes it. It honours
// the deadlines of contexts and sends no maintenance handshake; everything else
// is go-redis' default. mutate may change the options before the client is made.
func (p *Process) Client(mutate ...func(*redis.Options)) *redis.Client {
	return newClient(p.Addr(), mutate...)
}

func newClient(addr string, mutate ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{
		Addr:                     addr,
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: noMaintenance(),
	}
	for _, m := range mutate {
		m(o)
	}
	return redis.NewClient(o)
}

// noMaintenance turns off a handshake that only some hosted servers answer.
func noMaintenance() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// Pause stops the process with SIGSTOP: connections stay open, the kernel still
// accepts new ones, nothing is answered. Kill and Stop work on a paused server.
func (p *Process) Pause() error { return p.signal(pauseSignal) }

// Resume continues a paused process. On a running one it does nothing.
func (p *Process) Resume() error { return p.signal(resumeSignal) }

func (p *Process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return fmt.Errorf("redistest: server %s is down", p.Addr())
	}
	return send(p.proc, s)
}

// Freeze stops a process that is no server, as [Process.Pause] stops one, and Thaw
// continues it.
func Freeze(p *os.Process) error { return send(p, pauseSignal) }

// Thaw continues a process that Freeze has stopped.
func Thaw(p *os.Process) error { return send(p, resumeSignal) }

func send(p *os.Process, s os.Signal) error {
	if s == nil {
		return fmt.Errorf("redistest: pausing a process: %w", errors.ErrUnsupported)
	}
	return p.Signal(s)
}

// Kill ends the process with SIGKILL, as a crash does, and waits until it is
// gone. Port and directory stay. A server that is down is left alone.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killLocked()
}

func (p *Process) killLocked() error {
	if p.proc == nil {
		return nil
	}
	err := p.proc.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("redistest: kill: %w", err)
	}
	<-p.exited
	p.proc = nil
	return nil
}

// Restart kills the server if it runs and starts it again on the same port with
// the same directory and configuration. It returns when the server answers PING,
// with its data loaded.
func (p *Process) Restart(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("redistest: server %s was stopped", p.Addr())
	}
	if err := p.killLocked(); err != nil {
		return err
	}
	return p.launchLocked(ctx)
}

// Stop ends the server for good and gives its port back. A second call does
// nothing.
func (p *Process) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if err := p.killLocked(); err != nil {
		return err
	}
	p.closed = true
	releasePort(p.port)
	return nil
}

// launchLocked starts the process and waits until it answers. If it does not, no
// process is left.
func (p *Process) launchLocked(ctx context.Context) error {
	args := []string{configFile}
	if p.opts.sentinel {
		args = append(args, "--sentinel")
	}
	cmd := exec.Command(p.binary, args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = dieWithParent()
	log, err := os.OpenFile(filepath.Join(p.dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("redistest: %w", err)
	}
	defer log.Close() // the child has its own
	cmd.Stdout, cmd.Stderr = log, log
	if err = p.runLocked(cmd); err != nil {
		return fmt.Errorf("redistest: %w", err)
	}
	err = p.awaitLocked(ctx)
	if err == nil {
		return nil
	}
	if killed := p.killLocked(); killed != nil {
		return errors.Join(err, killed)
	}
	tail := p.logTail()
	if strings.Contains(tail, "already in use") {
		err = errors.Join(errPortTaken, err)
	}
	return fmt.Errorf("redistest: %s did not start: %w\n%s", p.binary, err, tail)
}

// runLocked starts cmd and a goroutine that waits for its end. Linux kills a
// child when the *thread* that started it ends, so that goroutine keeps the
// thread to itself as long as the child lives.
func (p *Process) runLocked(cmd *exec.Cmd) error {
	exited := make(chan struct{})
	started := make(chan error, 1)
	go func() {
		defer close(exited)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // that it is gone is all that counts; how, its log says
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	p.proc, p.exited = cmd.Process, exited
	return nil
}

// logTail returns the end of the server's log, or why there is none.
func (p *Process) logTail() string {
	b, err := os.ReadFile(filepath.Join(p.dir, logFile))
	if err != nil {
		return err.Error()
	}
	if len(b) > logTail {
		b = b[len(b)-logTail:]
	}
	return string(b)
}
