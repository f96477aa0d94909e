package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// outcome is what the drill saw.
type outcome struct {
	drill
	seenAfter               []time.Duration // of each update
	moves                   int
	killedLeft, killedStale int // rows in the outbox and stale users, after the consumer was killed
	recovered               time.Duration
	outageLeft, outageStale int // the same, while Redis was down
	landed                  time.Duration
	compared                int
	different               []string
}

// errInconsistent is what must not happen.
var errInconsistent = errors.New("the cache was not what the table was")

// report writes what was seen; the error is errInconsistent if it is not right.
func (o *outcome) report(out io.Writer) error {
	slices.Sort(o.seenAfter)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(n any, what string, args ...any) { fmt.Fprintf(w, "%v\t  %s\n", n, fmt.Sprintf(what, args...)) }
	line(len(o.seenAfter), "UPDATE statements; readers of the cache saw each after %v (median), %v (most)",
		o.seenAfter[len(o.seenAfter)/2].Round(10*time.Microsecond), o.seenAfter[len(o.seenAfter)-1].Round(10*time.Microsecond))
	line(o.moves, "changes of team, seen in the cached lists of both teams")
	line(o.rows, "users changed, and kill -9 of the consumer before it invalidated them")
	line(o.killedLeft, "rows stayed in the outbox; %d users were stale in the cache", o.killedStale)
	line(o.recovered.Round(time.Millisecond), "after the start of another consumer all were seen as they are")
	if o.landed > 0 {
		line(o.rows, "users changed while Redis was down; readers saw %d of them stale", o.outageStale)
		line(o.outageLeft, "rows were still in the outbox after %v", o.outage)
		line(o.landed.Round(time.Millisecond), "after Redis was back the outbox was empty and all were seen as they are")
	} else {
		line("-", "Redis was not stopped: it is yours")
	}
	line(o.compared, "users compared with their rows")
	line(len(o.different), "different")
	if err := w.Flush(); err != nil {
		return err
	}
	if len(o.different) > 0 {
		return fmt.Errorf("%w\n%s", errInconsistent, strings.Join(o.different, "\n"))
	}
	return nil
}
