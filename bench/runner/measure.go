package runner

import "errors"

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
