package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// mix is the load: how many users look at which pages.
type mix struct {
	// workers is the number of users. Each waits for its page before it opens
	// the next, so with one for each core no more than one query per core runs.
	workers int
	// pages is how many different pages are looked at.
	pages int
	// skew is the exponent of the Zipf distribution, above 1: page n is looked
	// at in proportion to n^-skew.
	skew float64
}

func (m mix) validate() error {
	switch {
	case m.workers < 1:
		return fmt.Errorf("-workers %d is below 1", m.workers)
	case m.pages < 1 || m.pages > lastPage:
		return fmt.Errorf("-pages %d is not from 1 to %d", m.pages, lastPage)
	case !(m.skew > 1):
		return fmt.Errorf("-zipf %v is not above 1", m.skew)
	}
	return nil
}

// view is one page view.
type view struct {
	page int
	hit  bool
	took time.Duration
}

// phase is what one stretch of load observed.
type phase struct {
	name  string
	cores int
	wall  time.Duration
	views []view
	cpu   cpuUse
	pages map[int]time.Duration // CPU time of the queries, by page
}

// driver sends page views over HTTP.
type driver struct {
	mix      mix
	client   *http.Client
	meter    *cpuMeter
	progress io.Writer
	count    atomic.Int64
}

// newDriver returns a driver that writes its progress line to progress.
func newDriver(m mix, meter *cpuMeter, progress io.Writer) *driver {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: m.workers}}
	return &driver{mix: m, client: client, meter: meter, progress: progress}
}

// run drives base for d. Every phase draws the same pages in the same order.
// Views under way when d is over are finished, so that slow ones count too;
// the first failing one ends the phase.
func (d *driver) run(ctx context.Context, name, base string, cores int, length time.Duration) (phase, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start, before := time.Now(), readCPU()
	d.meter.take()
	d.count.Store(0)
	views := make([][]view, d.mix.workers)
	var users sync.WaitGroup
	for i := range views {
		users.Go(func() {
			var err error
			if views[i], err = d.browse(ctx, base, uint64(i), start.Add(length)); err != nil {
				cancel(err)
			}
		})
	}
	stop := d.report(name, start, length)
	users.Wait()
	stop()
	p := phase{name: name, cores: cores, wall: time.Since(start), cpu: readCPU().since(before), pages: d.meter.take()}
	for _, v := range views {
		p.views = append(p.views, v...)
	}
	return p, context.Cause(ctx)
}

// browse is one user: page after page until the time is over.
func (d *driver) browse(ctx context.Context, base string, user uint64, until time.Time) ([]view, error) {
	zipf := rand.NewZipf(rand.New(rand.NewPCG(7, user)), d.mix.skew, 1, uint64(d.mix.pages-1))
	var views []view
	for time.Now().Before(until) {
		v, err := d.view(ctx, base, 1+int(zipf.Uint64()))
		if err != nil {
			return views, err
		}
		views = append(views, v)
		d.count.Add(1)
	}
	return views, nil
}

// view opens one page and reads it to the end.
func (d *driver) view(ctx context.Context, base string, page int) (view, error) {
	url := base + "/admin/order-items?page=" + strconv.Itoa(page)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return view{}, err
	}
	start := time.Now()
	response, err := d.client.Do(request)
	if err != nil {
		return view{}, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	took := time.Since(start)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return view{}, err
	}
	if response.StatusCode != http.StatusOK {
		return view{}, fmt.Errorf("page %d: %s", page, response.Status)
	}
	return view{page: page, hit: response.Header.Get("X-Cache") == "hit", took: took}, nil
}

// report rewrites the progress line every second until the returned function
// is called, which waits for its goroutine.
func (d *driver) report(name string, start time.Time, length time.Duration) (stop func()) {
	done := make(chan struct{})
	line := func() {
		passed := min(time.Since(start), length)
		fmt.Fprintf(d.progress, "\r%-18s %2.0fs of %v, %d views", name, passed.Seconds(), length, d.count.Load())
	}
	var reporter sync.WaitGroup
	reporter.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			line()
			select {
			case <-tick.C:
			case <-done:
				line()
				fmt.Fprintln(d.progress)
				return
			}
		}
	})
	return func() {
		close(done)
		reporter.Wait()
	}
}
