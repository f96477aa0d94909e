package runner

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// The lines that a child writes. The parent writes one, with the time to begin in
// microseconds, and closes.
const (
	sayReady  = "ready"
	sayResult = "result "
	sayError  = "error "
)

// EnvSpec holds a child's Spec as JSON. A program with it set is a child.
const EnvSpec = "LARDER_BENCH_SPEC"

// Child is the child's side of a measurement.
type Child struct {
	Spec Spec

	in      *bufio.Reader
	out     io.Writer
	cleanup []func()
	profile *os.File

	began  time.Time
	usage  time.Duration
	before memory
}

// Job prepares, calls [Child.Ready], measures and returns what it found.
type Job func(c *Child) (Sample, error)

// Serve runs the job of the Spec in the environment, talking over in and out. It
// returns after the parent has let it go, so that nothing is closed while the parent
// still looks at Redis.
func Serve(jobs map[string]Job, spec string, in io.Reader, out io.Writer) error {
	c := &Child{in: bufio.NewReader(in), out: out}
	if err := json.Unmarshal([]byte(spec), &c.Spec); err != nil {
		return fmt.Errorf("%s: %w", EnvSpec, err)
	}
	job, ok := jobs[c.Spec.Job]
	if !ok {
		return c.say(sayError + "no job " + c.Spec.Job)
	}
	defer c.clean()
	sample, err := job(c)
	if err != nil {
		return c.say(fmt.Sprintf("%s%q", sayError, err))
	}
	data, err := json.Marshal(sample)
	if err != nil {
		return c.say(fmt.Sprintf("%s%q", sayError, err))
	}
	if err := c.say(sayResult + string(data)); err != nil {
		return err
	}
	_, _ = c.in.ReadString('\n') // or the end of the input: the parent is gone
	return nil
}

// Cleanup has f called when the measurement is over and the parent has looked at
// Redis, the last one first.
func (c *Child) Cleanup(f func()) { c.cleanup = append(c.cleanup, f) }

func (c *Child) clean() {
	for i := len(c.cleanup) - 1; i >= 0; i-- {
		c.cleanup[i]()
	}
}

// Ready says that all is prepared and waits for the parent's word. The meters of
// [Child.Stop] run from then on. It collects the garbage of the preparation first.
func (c *Child) Ready() error {
	runtime.GC()
	if err := c.say(sayReady); err != nil {
		return err
	}
	word, err := c.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the parent is gone: %w", err)
	}
	at, err := strconv.ParseInt(strings.TrimSpace(word), 10, 64)
	if err != nil {
		return fmt.Errorf("the parent's word: %w", err)
	}
	time.Sleep(time.Until(time.UnixMicro(at)))
	if err := c.startProfile(); err != nil {
		return err
	}
	c.Restart()
	return nil
}

// Restart starts the meters again, for jobs that measure two things.
func (c *Child) Restart() { c.before, c.usage, c.began = allocated(), cpuTime(), time.Now() }

func (c *Child) startProfile() (err error) {
	if c.Spec.CPUProfile == "" {
		return nil
	}
	if c.profile, err = os.Create(c.Spec.CPUProfile); err != nil {
		return err
	}
	return pprof.StartCPUProfile(c.profile)
}

// Began is when the parent gave the word.
func (c *Child) Began() time.Time { return c.began }

// Stop stops the meters and returns the figures that all jobs share, for ops
// operations.
func (c *Child) Stop(ops int64) Sample {
	took, cpu, now := time.Since(c.began), cpuTime()-c.usage, allocated()
	if c.profile != nil {
		pprof.StopCPUProfile()
		_ = c.profile.Close() // a profile that is cut short shows itself
	}
	n := float64(max(ops, 1))
	return Sample{
		Ops:    float64(ops),
		Rate:   n / took.Seconds(),
		CPU:    float64(cpu.Nanoseconds()) / 1e3 / n,
		Allocs: float64(now.count-c.before.count) / n,
		Bytes:  float64(now.bytes-c.before.bytes) / n,
		PerOp:  float64(took.Nanoseconds()) / n,
	}
}

func (c *Child) say(line string) error {
	_, err := fmt.Fprintln(c.out, line)
	return err
}

// memory is what was allocated since the process began.
type memory struct{ count, bytes uint64 }

func allocated() memory {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{m.Mallocs, m.TotalAlloc}
}
