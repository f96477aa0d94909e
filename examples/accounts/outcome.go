package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// outcome is what all processes did, and what was in the cache between rounds.
type outcome struct {
	race
	counts
	equal, absent int
	different     []string
}

// errInconsistent is what must not happen.
var errInconsistent = errors.New("the cache was not what the table was")

// add lets all racers run a round at the same time and adds up their counts.
func (o *outcome) add(racers []*process, r race) error {
	for _, p := range racers {
		if err := p.begin(round{Accounts: r.ids(), For: r.round}); err != nil {
			return err
		}
	}
	for _, p := range racers {
		c, err := p.finish()
		if err != nil {
			return err
		}
		o.Sets, o.Updates, o.Kept, o.Absent = o.Sets+c.Sets, o.Updates+c.Updates, o.Kept+c.Kept, o.Absent+c.Absent
		o.Reads, o.Loads, o.Stale = o.Reads+c.Reads, o.Loads+c.Loads, o.Stale+c.Stale
		o.Refused, o.Queued = o.Refused+c.Refused, o.Queued+c.Queued
	}
	return nil
}

// report writes the counts; the error is errInconsistent if they are not right.
func (o *outcome) report(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(n int64, what string) { fmt.Fprintf(w, "%d\t  %s\n", n, what) }
	fmt.Fprintf(out, "%d processes, %d goroutines each, raced on %d accounts, %d times for %v:\n",
		o.processes, racersPerProcess, o.accounts, o.rounds, o.round)
	line(o.Sets+o.Updates, fmt.Sprintf("writes through the cache: %d Set, %d Update", o.Sets, o.Updates))
	line(o.Kept, "times the cache held the account right after a Set")
	line(o.Absent, "times it held nothing then, because another write overlapped")
	if o.Refused+o.Queued > 0 {
		line(o.Refused, "writes refused, not made: Redis could not guard them")
		line(o.Queued, "writes made with their invalidation queued")
	}
	line(o.Reads, fmt.Sprintf("reads, %d loads", o.Loads))
	line(o.Stale, "reads were stale: older than the row that was in the table before the read")
	line(int64(o.equal+o.absent+len(o.different)), "comparisons of an account with its row, after the rounds")
	line(int64(o.equal), "cached, equal to the row")
	line(int64(o.absent), "absent: the next reader loads it")
	line(int64(len(o.different)), "different")
	if err := w.Flush(); err != nil {
		return err
	}
	if o.Stale > 0 || len(o.different) > 0 {
		return fmt.Errorf("%w\n%s", errInconsistent, strings.Join(o.different, "\n"))
	}
	return nil
}
