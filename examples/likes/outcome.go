package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// outcome is what was made, what became of it, and how long that took.
type outcome struct {
	drill
	tally
	workers            int
	took, flushed      time.Duration // until the last like; until all was written
	liked              int           // posts
	made, stored, read int64         // likes: made, in SQL, as readers see them
	puts, failures     int64
	different          []string
}

// errLost is what must not happen.
var errLost = errors.New("SQL does not have what was made")

// report writes the counts; the error is errLost if they are not right.
func (o *outcome) report(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(n int64, what string, args ...any) {
		fmt.Fprintf(w, "%d\t  "+what+"\n", append([]any{n}, args...)...)
	}
	line(o.made, "likes of %d posts by %d goroutines in %.1f s", o.liked, o.goroutines, o.took.Seconds())
	line(o.puts, "puts into Redis, of %.1f likes each: who waits for a put shares the next", ratio(o.made, o.puts))
	if o.failures > 0 {
		line(o.failures, "puts that Redis did not answer, made again")
	}
	line(o.written, "rows written, for %.1f puts each, in %d batches", ratio(o.puts, o.written), o.batches)
	line(int64(len(o.killedIn)), "kill -9 of a worker (%d at a time), with rows in its hands: %s", o.workers, join(o.killedIn))
	line(o.stored, "likes in SQL, %.1f s after the last like", (o.flushed - o.took).Seconds())
	line(o.read, "likes as readers see them")
	line(o.made-o.stored, "lost")
	if err := w.Flush(); err != nil {
		return err
	}
	if len(o.different) > 0 {
		return fmt.Errorf("%w\n%s", errLost, strings.Join(o.different, "\n"))
	}
	return nil
}

func ratio(a, b int64) float64 { return float64(a) / max(float64(b), 1) }

func join(numbers []int64) string {
	if len(numbers) == 0 {
		return "none"
	}
	return strings.Trim(fmt.Sprint(numbers), "[]")
}
