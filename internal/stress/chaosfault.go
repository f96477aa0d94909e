package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/redistest"
)

// havoc makes faults. It ends the scenario when one cannot be made, so it belongs
// to the scenario's goroutine.
type havoc struct {
	target
	ctx    context.Context //nolint:containedctx // of the run
	random *rand.Rand
	worst  time.Duration
	link   *redistest.Proxy // before a single server
	fleet  *fleet
}

// fault is one way in which Redis fails, and recovers: make returns when it has.
type fault struct {
	name string
	slow bool // it takes longer than the longest fault: others have to agree that it is over
	out  bool // nothing is answered meanwhile
	make func(h *havoc)
}

var singleFaults = []fault{
	{name: "frozen", out: true, make: func(h *havoc) { h.server.Pause(); h.last(); h.server.Resume() }},
	{name: "killed, empty again", out: true, make: func(h *havoc) { h.server.Kill(); h.last(); h.server.Restart() }},
	{name: "restarted at once", make: func(h *havoc) { h.server.Restart() }},
	{name: "flushed", make: func(h *havoc) { h.must(h.flush(h.ctx)) }},
	{name: "flushed, then a burst", make: (*havoc).flushUnawares},
	{name: "link cut", out: true, make: func(h *havoc) { h.link.Cut(); h.last(); h.must(h.link.Heal()) }},
	{name: "black hole", out: true, make: func(h *havoc) { h.link.Swallow(); h.last(); h.must(h.link.Heal()) }},
	{name: "replies lost", out: true, make: func(h *havoc) { h.link.SwallowReplies(); h.last(); h.must(h.link.Heal()) }},
	{name: "each 20th reply lost", make: func(h *havoc) { h.link.DropReply(20); h.last(); h.link.DropReply(0) }},
	{name: "slow link", make: (*havoc).slowLink},
	{name: "evicting", make: (*havoc).evict},
}

var clusterFaults = []fault{
	{name: "primary killed", out: true, slow: true, make: (*havoc).killPrimary},
	{name: "slots moved", slow: true, make: (*havoc).moveSlots},
	{name: "primary frozen", out: true, slow: true, make: (*havoc).freezePrimary},
	{name: "take-over", slow: true, make: func(h *havoc) { h.nodes.Failover(h.nodes.Owner(h.someKey())); h.nodes.Await() }},
}

func (h *havoc) must(err error) {
	h.tb.Helper()
	if err != nil {
		h.tb.Fatal(err)
	}
}

// last waits for as long as a fault lasts: a tenth of the longest, up to it.
func (h *havoc) last() {
	_ = sleep(h.ctx, h.worst/10+time.Duration(h.random.Int64N(int64(h.worst*9/10))))
}

// standstill is for how long the callers stand still before a burst: they make up for
// fifty calls in each process, more than may load at once.
const standstill = 200 * time.Millisecond

// flushUnawares empties Redis while all workers stand still, as on a machine that has
// other things to do: they come back to an emptied cache all at once, and do not know.
func (h *havoc) flushUnawares() {
	for _, w := range h.fleet.workers {
		h.must(redistest.Freeze(w.cmd.Process))
	}
	h.must(h.flush(h.ctx))
	_ = sleep(h.ctx, standstill)
	for _, w := range h.fleet.workers {
		h.must(redistest.Thaw(w.cmd.Process))
	}
}

// slowLink makes round trips take from a part of a command's budget to more than
// all of it.
func (h *havoc) slowLink() {
	h.link.Delay(time.Duration(h.random.Int64N(int64(100 * time.Millisecond))))
	h.last()
	h.link.Delay(0)
}

// evict leaves Redis memory for part of the entries and lets a filler compete for
// it. Afterwards what is left of the filler is removed.
func (h *havoc) evict() {
	h.limitMemory(scarceMemory, scarcePolicy)
	ctx, stop := context.WithCancel(h.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		value := make([]byte, scarceFiller)
		for ctx.Err() == nil {
			_ = h.admin.Set(ctx, "filler:"+strconv.Itoa(rand.IntN(fillers)), value, h.worst).Err() // what counts is that Redis evicts
		}
	}()
	h.last()
	stop()
	<-done
	h.limitMemory(0, "noeviction")
}

func (h *havoc) limitMemory(bytes int, policy string) {
	h.must(h.each(h.ctx, func(ctx context.Context, c *redis.Client) error {
		if err := c.ConfigSet(ctx, "maxmemory-policy", policy).Err(); err != nil {
			return err
		}
		return c.ConfigSet(ctx, "maxmemory", strconv.Itoa(bytes)).Err()
	}))
}

// someKey is the name in Redis of a key that is read.
func (h *havoc) someKey() string { return "stress:" + strconv.Itoa(h.random.IntN(chaosKeys)) }

// killPrimary kills one, waits for its replica to take over, and brings it back as
// a replica.
func (h *havoc) killPrimary() {
	key := h.someKey()
	victim := h.nodes.Owner(key)
	_ = h.nodes.Settle(victim) // it ends with the process
	victim.Kill()
	h.awaitHeir(key, victim)
	victim.Restart()
	h.nodes.Await()
}

// freezePrimary stops one for so long that the others fail it over, or not. One that was
// replaced meanwhile takes changes for a moment when it goes on, and loses them:
//
//  1. P is stopped, and its replica R takes over. An invalidation waits in W's queue.
//  2. P goes on. W still sends to P, which has not heard of R, and acknowledges.
//  3. P hears of R, follows it, and takes over R's data: the invalidation is gone.
func (h *havoc) freezePrimary() {
	victim := h.nodes.Owner(h.someKey())
	end := h.nodes.Settle(victim)
	victim.Pause()
	h.last()
	victim.Resume()
	h.nodes.Await()
	end()
}

func (h *havoc) awaitHeir(key string, victim *redistest.Server) {
	for end := time.Now().Add(patience); h.nodes.Owner(key) == victim; {
		if time.Now().After(end) || sleep(h.ctx, 20*time.Millisecond) != nil {
			h.tb.Fatal("no replica took over from ", victim.Addr())
		}
	}
}

// chaosSlots is how many slots move. They hold one key in 40.
const chaosSlots = 400

// moveSlots moves the first slots to another primary, as a resharding does. They
// move together each time, so one node always has all of them.
func (h *havoc) moveSlots() {
	var inside string
	for i := 0; inside == ""; i++ {
		if key := "stress:" + strconv.Itoa(i); h.nodes.Slot(key) < chaosSlots {
			inside = key
		}
	}
	from := h.nodes.Owner(inside)
	to := from
	for to == from {
		to = h.nodes.Owner(h.someKey())
	}
	h.nodes.MoveSlots(from, to, 0, chaosSlots-1)
	h.nodes.Await()
}
