package near_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/near"
)

const (
	raceReaders = 4
	raceWriters = 2
	raceKeys    = 8
)

// register is a record in Redis, with what readers of it were promised.
type register struct {
	version atomic.Int64 // in Redis
	floor   atomic.Int64 // the version whose message was processed
	writing sync.Mutex
}

// race lets fills race with messages about them.
type race struct {
	space *near.Space
	// message is what is done here about a change of the key.
	message func(s *near.Space, name string)
	// naive takes the epoch when it puts, as if there were none.
	naive bool

	keys    [raceKeys]register
	names   [raceKeys]string
	reads   atomic.Int64
	fills   atomic.Int64
	refused atomic.Int64
	stale   atomic.Int64
}

// TestL1FillRace is the schedule of the package's comment, a million times:
//
//	reader: epoch; reads v1 from Redis;                              Put(v1)
//	writer:                              writes v2; message: Drop;           done
//
// A Get that starts after the message was processed must not return v1. The
// control, without epochs, must.
func TestL1FillRace(t *testing.T) {
	messages := map[string]func(*near.Space, string){
		"messages about keys":               func(s *near.Space, name string) { s.Drop(name) },
		"messages about the whole cache":    func(s *near.Space, _ string) { s.DropAll() },
		"the subscription is lost and back": func(s *near.Space, _ string) { s.Suspect(); s.Restore() },
	}
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			_, s := open(t)
			r := &race{space: s, message: message}
			r.run(raceReads/len(messages) + 1)
			assert.Zero(t, r.stale.Load(), "stale reads")
			assert.Positive(t, r.refused.Load(), "no fill was overtaken: the test is blind")
			t.Logf("%d reads, %d fills, %d refused, stale 0", r.reads.Load(), r.fills.Load(), r.refused.Load())
		})
		t.Run(name+", without epochs", func(t *testing.T) {
			_, s := open(t)
			r := &race{space: s, message: message, naive: true}
			for range 50 {
				if r.run(20_000); r.stale.Load() > 0 {
					break
				}
			}
			assert.Positive(t, r.stale.Load(), "the control must see stale reads")
			t.Logf("%d reads, %d fills, stale %d", r.reads.Load(), r.fills.Load(), r.stale.Load())
		})
	}
}

func (r *race) run(reads int) {
	for i := range r.names {
		r.names[i] = fmt.Sprint("key", i)
	}
	var readers, writers sync.WaitGroup
	var over atomic.Bool
	for w := range raceWriters {
		writers.Go(func() {
			for i := w; !over.Load(); i++ {
				r.write(i % raceKeys)
				runtime.Gosched()
			}
		})
	}
	for range raceReaders {
		readers.Go(func() {
			for i := range reads / raceReaders {
				r.read(i % raceKeys)
			}
		})
	}
	readers.Wait()
	over.Store(true)
	writers.Wait()
}

// write changes the record, processes the message, and promises.
func (r *race) write(i int) {
	k := &r.keys[i]
	k.writing.Lock()
	defer k.writing.Unlock()
	v := k.version.Add(1)
	r.message(r.space, r.names[i])
	k.floor.Store(v)
}

// read is a look-up, with a fill if there is nothing.
func (r *race) read(i int) {
	k := &r.keys[i]
	r.reads.Add(1)
	floor := k.floor.Load()
	if e, _ := r.space.Get(r.names[i]); e != nil {
		if e.Value.(int64) < floor {
			r.stale.Add(1)
		}
		return
	}
	began := r.space.Epoch(r.names[i])
	v := k.version.Load()
	runtime.Gosched() // the reply is under way
	if r.naive {
		began = r.space.Epoch(r.names[i])
	}
	r.fills.Add(1)
	if !r.space.Put(r.names[i], &near.Entry{Value: v, Deadline: hour()}, began) {
		r.refused.Add(1)
	}
}
