package runner

import (
	"errors"
	"time"
)

// Measure runs one child from start to end and returns what it found, with the
// server's CPU for each of its operations, and what Redis was asked.
func Measure(s *Server, spec Spec) (Sample, Audit, error) {
	p, err := Start(spec)
	if err != nil {
		return nil, Audit{}, err
	}
	before, err := s.Look()
	if err != nil {
		return nil, Audit{}, p.fail(err)
	}
	if err := p.Go(); err != nil {
		return nil, Audit{}, p.fail(err)
	}
	sample, err := p.Result()
	if err != nil {
		return nil, Audit{}, err
	}
	after, err := s.Look()
	audit := after.Since(before)
	if n := sample[Ops]; n > 0 {
		sample[ServerCPU] = audit.CPU * 1e6 / n
	}
	return sample, audit, errors.Join(err, p.Close())
}

// Interleave calls measure for each of n rows in each round. Each round begins with
// another row, so that no row always follows the same one.
func Interleave(rounds, n int, measure func(round, row int) error) error {
	for round := range rounds {
		for i := range n {
			if err := measure(round, (i+round)%n); err != nil {
				return err
			}
		}
	}
	return nil
}

// together is how long before they begin several children are told when.
const together = 20 * time.Millisecond

// MeasureAll runs several children that begin at the same moment, and calls during,
// if it is not nil, with that moment, while they measure. It returns what each found,
// and what Redis was asked by all of them.
func MeasureAll(s *Server, specs []Spec, during func(began time.Time) error) ([]Sample, Audit, error) {
	var all []*Process
	defer func() {
		for _, p := range all {
			_ = p.cmd.Process.Kill() // those that have ended are gone
		}
	}()
	for _, spec := range specs {
		p, err := Launch(spec)
		if err != nil {
			return nil, Audit{}, err
		}
		all = append(all, p)
	}
	for _, p := range all {
		if err := p.AwaitReady(); err != nil {
			return nil, Audit{}, err
		}
	}
	before, err := s.Look()
	if err != nil {
		return nil, Audit{}, err
	}
	samples, err := collect(all, during)
	if err != nil {
		return nil, Audit{}, err
	}
	after, err := s.Look()
	for _, p := range all {
		err = errors.Join(err, p.Close())
	}
	return samples, after.Since(before), err
}

func collect(all []*Process, during func(time.Time) error) ([]Sample, error) {
	began := time.Now().Add(together)
	for _, p := range all {
		if err := p.GoAt(began); err != nil {
			return nil, err
		}
	}
	if during != nil {
		if err := during(began); err != nil {
			return nil, err
		}
	}
	var samples []Sample
	for _, p := range all {
		s, err := p.Result()
		if err != nil {
			return nil, err
		}
		samples = append(samples, s)
	}
	return samples, nil
}
