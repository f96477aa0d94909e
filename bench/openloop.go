package main

import (
	"sync"
	"time"
)

// arrival is one request of an open loop: when it was due, counted from the
// beginning, and how long after that it was answered. A request that is due while
// the program is late is counted from when it was due: nobody's slowness makes the
// requests behind it look quick.
type arrival struct {
	due, took time.Duration
	err       error
	loaded    bool
}

// openLoop sends rate requests a second for d, whatever becomes of them, and returns
// when all are answered.
func openLoop(began time.Time, rate float64, d time.Duration, request func(n int) (loaded bool, err error)) []arrival {
	gap := time.Duration(float64(time.Second) / rate)
	all := make([]arrival, int(d/gap))
	var running sync.WaitGroup
	for n := range all {
		due := time.Duration(n) * gap
		time.Sleep(time.Until(began.Add(due)))
		running.Go(func() {
			loaded, err := request(n)
			all[n] = arrival{due: due, took: time.Since(began) - due, err: err, loaded: loaded}
		})
	}
	running.Wait()
	return all
}
