package conn

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// idleWorkers is how many goroutines wait for the next job at most. A goroutine
// that has run one has the stack that the client needs; a new one has to grow it.
const idleWorkers = 16

// workers are the goroutines that run commands for callers who may leave. The zero
// value is ready for use.
type workers struct {
	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{} // closed with the last goroutine after close; nil before
	free    []chan *job   // of goroutines that wait; the last one waits for the shortest time
}

// job is a call, run for a caller who may have left by the time it is done.
type job struct {
	ctx    context.Context
	client redis.UniversalClient
	call   call
	done   chan error // buffered: nobody may be there to receive
}

// send has one of the goroutines run j. It reports false once they are closed.
func (w *workers) send(j *job) bool {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return false
	}
	w.running++
	var worker chan *job
	if last := len(w.free) - 1; last >= 0 {
		worker, w.free = w.free[last], w.free[:last]
	}
	w.mu.Unlock()
	if worker == nil {
		worker = make(chan *job, 1)
		go w.work(worker)
	}
	worker <- j
	return true
}

// work runs what is sent to worker, until nobody will send anything any more.
func (w *workers) work(worker chan *job) {
	for j := range worker {
		if !w.runs(j, worker) {
			return
		}
	}
}

// runs runs j, and reports whether the goroutine waits for another. A hook of the
// client that exits the goroutine ends it.
func (w *workers) runs(j *job, worker chan *job) (stays bool) {
	returned := false
	defer func() { stays = w.rest(worker, returned) }()
	err := j.run()
	returned = true
	j.done <- err
	return true
}

// run makes the call.
func (j *job) run() (err error) {
	defer contain(&err)
	return j.call.run(j.ctx, j.client)
}

// rest ends a job, and reports whether its goroutine waits for another.
func (w *workers) rest(worker chan *job, able bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaveLocked()
	if !able || w.closed || len(w.free) == idleWorkers {
		return false
	}
	w.free = append(w.free, worker)
	return true
}

// enter counts one goroutine more. It reports false once they are closed.
func (w *workers) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.running++
	return true
}

// leave is the last thing a counted goroutine does.
func (w *workers) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaveLocked()
}

func (w *workers) leaveLocked() {
	w.running--
	if w.running == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// close lets nobody in any more, sends away who waits, and waits until all who run
// something have left or ctx ends. It returns how many are left.
func (w *workers) close(ctx context.Context) int {
	w.mu.Lock()
	w.closed = true
	for _, worker := range w.free {
		close(worker)
	}
	w.free = nil
	if w.running > 0 && w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	if idle == nil {
		return 0
	}
	select {
	case <-idle:
		return 0
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}
