package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// startIn is how far ahead a round's start is set: long enough that every
	// worker has read its order by then.
	startIn = 100 * time.Millisecond
	// patience is how much longer than its time a round may take, before its
	// workers are killed: they hang, and would for ever.
	patience = time.Minute
)

// fleet is the worker processes of one run. It is not for concurrent use.
type fleet struct {
	workers []*process
	ledger  string
}

// process is one of them, a line of JSON for each order on its standard input
// and for each report on its standard output. It ends with its standard input,
// so none survives a parent that was killed.
type process struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	encoder *json.Encoder
	reports *json.Decoder
}

// launch starts n workers with the plan, each of which is this very program,
// and returns when all have warmed up. The ledger is new.
func launch(ctx context.Context, p plan, n int) (*fleet, error) {
	dir, err := os.MkdirTemp("", "stress")
	if err != nil {
		return nil, err
	}
	f := &fleet{ledger: filepath.Join(dir, "ledger")}
	p.Ledger, p.Workers = f.ledger, n
	l, err := createLedger(p.Ledger, p.Rows)
	if err == nil {
		err = l.close() // it is for the workers; the file stays
	}
	for p.Worker = 0; err == nil && p.Worker < n; p.Worker++ {
		var w *process
		if w, err = start(ctx, &p); err == nil {
			f.workers = append(f.workers, w)
		}
	}
	if err == nil {
		_, err = f.answers()
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// start starts one worker.
func start(ctx context.Context, p *plan) (*process, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), planVariable+"="+string(text))
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
	return &process{cmd: cmd, orders: in, encoder: json.NewEncoder(in), reports: json.NewDecoder(out)}, nil
}

// round gives all workers the same order, to be begun at the same instant, and
// returns the sum of their reports.
func (f *fleet) round(o order) (report, error) {
	o.Start = time.Now().Add(startIn)
	watch := time.AfterFunc(o.For+patience, f.kill)
	defer watch.Stop()
	for i, w := range f.workers {
		if err := w.encoder.Encode(o); err != nil {
			return report{}, fmt.Errorf("worker %d: %w", i, err)
		}
	}
	return f.answers()
}

// answers waits for one report of each worker.
func (f *fleet) answers() (sum report, err error) {
	for i, w := range f.workers {
		var r report
		if err := w.reports.Decode(&r); err != nil {
			return sum, fmt.Errorf("worker %d: %w", i, err)
		}
		sum.merge(&r)
	}
	return sum, nil
}

// kill ends the workers at once: their reports do not come.
func (f *fleet) kill() {
	for _, w := range f.workers {
		_ = w.cmd.Process.Kill() // one that has ended already is no error here
	}
}

// close ends the workers, waits for them, and removes the ledger.
func (f *fleet) close() error {
	var errs []error
	for _, w := range f.workers { // all of them first: they end side by side
		errs = append(errs, w.orders.Close())
	}
	for i, w := range f.workers {
		if err := w.cmd.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("worker %d: %w", i, err))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Dir(f.ledger)))...)
}
