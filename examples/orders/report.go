package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// promise is how many times faster page 1 has to be with the cache, at p50.
const promise = 50

// figures are what the table shows of one page, or of all, in one phase.
type figures struct {
	requests int
	hits     int
	p50, p99 time.Duration
	cpu      float64 // the queries' share of all cores, 0 to 1; negative: not known
}

// figures of one page; page 0 is all of them.
func (p phase) figures(page int) figures {
	var f figures
	var took []time.Duration
	for _, v := range p.views {
		if page != 0 && v.page != page {
			continue
		}
		took = append(took, v.took)
		if v.hit {
			f.hits++
		}
	}
	slices.Sort(took)
	f.requests, f.p50, f.p99 = len(took), percentile(took, 50), percentile(took, 99)
	if p.pages == nil {
		f.cpu = -1
	}
	for n, spent := range p.pages {
		if page == 0 || n == page {
			f.cpu += p.share(spent)
		}
	}
	return f
}

// share is spent as a part of what all cores could have given.
func (p phase) share(spent time.Duration) float64 {
	return float64(spent) / (float64(p.wall) * float64(p.cores))
}

// percentile returns the smallest element that at least n percent of the
// sorted ones do not exceed; 0 if there are none.
func percentile(sorted []time.Duration, n int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*n + 99) / 100
	return sorted[max(rank, 1)-1]
}

// writeReport prints the table, the CPU time of both phases, and whether the
// promise was kept.
func writeReport(w io.Writer, pages int, without, with phase) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\t%s\t\t\t\t\t|\t%s\t\t\t\t\t|\t\t\n", without.name, with.name)
	fmt.Fprint(table, "page\trequests\thits\tp50\tp99\tCPU\t|\trequests\thits\tp50\tp99\tCPU\t|\tp50 ratio\t\n")
	for page := 1; page <= pages; page++ {
		writeRow(table, strconv.Itoa(page), without.figures(page), with.figures(page))
	}
	writeRow(table, "all", without.figures(0), with.figures(0))
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nCPU is the share of %d cores that the page's queries took in this process.\n", with.cores)
	for _, p := range []phase{without, with} {
		fmt.Fprintf(w, "CPU %s: %s\n", p.name, p.cpuLine())
	}
	_, err := fmt.Fprintln(w, conclusion(without, with))
	return err
}

func writeRow(w io.Writer, label string, without, with figures) {
	fmt.Fprintf(w, "%s\t%s\t|\t%s\t|\t%s\t\n", label, without, with, ratio(without.p50, with.p50))
}

// String is the figures as cells of the table.
func (f figures) String() string {
	if f.requests == 0 {
		return "0\t-\t-\t-\t-"
	}
	return fmt.Sprintf("%d\t%s\t%s\t%s\t%s", f.requests, percent(float64(f.hits)/float64(f.requests)),
		milliseconds(f.p50), milliseconds(f.p99), percent(f.cpu))
}

// cpuLine says who used the cores during the phase.
func (p phase) cpuLine() string {
	if p.cpu.process < 0 {
		return "not known on this system"
	}
	line := fmt.Sprintf("this process used %s of %d cores", percent(p.share(p.cpu.process)), p.cores)
	if p.cpu.machine >= 0 {
		others := max(p.cpu.machine-p.cpu.process, 0)
		line += fmt.Sprintf(", other processes %.1f cores", others.Seconds()/p.wall.Seconds())
	}
	return line
}

// conclusion compares page 1 with the promise.
func conclusion(without, with phase) string {
	slow, fast := without.figures(1).p50, with.figures(1).p50
	if slow == 0 || fast == 0 {
		return "Page 1 was not opened in both phases: run for longer."
	}
	line := fmt.Sprintf("Page 1 at p50: %s without the cache, %s with it: %s faster.",
		milliseconds(slow), milliseconds(fast), ratio(slow, fast))
	if slow < promise*fast {
		line += fmt.Sprintf(" That is below the promised %d: hits waited for a core (%s).", promise, with.cpuLine())
	}
	return line
}

func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func percent(share float64) string {
	if share < 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

func ratio(slow, fast time.Duration) string {
	if slow == 0 || fast == 0 {
		return "-"
	}
	times := float64(slow) / float64(fast)
	if times < 10 {
		return fmt.Sprintf("%.1f times", times)
	}
	return fmt.Sprintf("%.0f times", times)
}
