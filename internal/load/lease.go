package load

import "time"

const (
	// LeaseTime is how long a lease holds that nobody renews. Its deadline only says when
	// another process may take the key over; a fill is fenced by its token alone.
	LeaseTime = 3 * time.Second
	// leaseRenew is how often the lease of a load that runs is renewed.
	leaseRenew = 1 * time.Second
	// LeaseRetain is the life of a record that holds only a lease, renewed with it: long
	// enough that a loader that was paused, and that nobody replaced, can still commit.
	LeaseRetain = 2*LeaseTime + 10*time.Second

	// acquires is how often a flight asks for its lease at most: first, after a record
	// that changed and cannot be served, and after it has waited for another process.
	acquires = 3
)

// lease asks for the leases of keys, and sorts them by the answer. Who has asked three
// times, or may not, goes without.
//
// A key whose invalidation is queued is not asked about, also when that happened
// after the look-up that led here (model variant 61b):
//
//  1. R1 looks, misses, and is delayed.
//  2. W invalidates; Redis fails, the invalidation is queued, W returns.
//  3. R1 starts a flight. R2, which began after W, joins it.
//  4. Acquire answers with the old entry, proven after R2 had joined.
//
// Queueing comes before the detaching of flights: either the flight is detached,
// and nobody joins, or it sees the queue here.
func (b *Batch) lease(keys []*Key) (granted, unleased, busy []*Key) {
	for len(keys) > 0 { // at most acquires times
		asked := keys[:0]
		for _, k := range keys {
			if k.Bypass || k.Barred || k.asks >= acquires || !b.backend.Storable(k) {
				unleased = append(unleased, k)
			} else {
				asked = append(asked, k)
			}
		}
		b.ask(asked)
		keys = asked[:0]
		for _, k := range asked {
			if k.found() && !b.group.answers(k) {
				b.finish(k, Abandoned)
				continue
			}
			switch k.Answer {
			case Granted:
				granted = append(granted, k)
			case Served:
				b.finish(k, Found)
			case Changed:
				keys = append(keys, k)
			case Busy:
				busy = append(busy, k)
			case Resting:
				b.holdOff(k, k.Left)
				b.finish(k, Backoff)
			case Untouchable:
				k.Barred = true
				unleased = append(unleased, k)
			default:
				unleased = append(unleased, k)
			}
		}
	}
	return granted, unleased, busy
}

// found reports whether acquire has found a record of a key that nobody has looked up:
// whether it is served, stale, refreshed, and counted as what, is the business of those
// who wait for the flight, who look again.
func (k *Key) found() bool {
	return k.Unread && (k.Answer == Served || k.Answer == Changed || k.Answer == Untouchable)
}

// ask sends one acquire for each key. What it answers with is proven for the callers
// that joined before it was sent.
func (b *Batch) ask(keys []*Key) {
	if len(keys) == 0 {
		return
	}
	b.group.prove(keys)
	began := time.Now()
	b.backend.Acquire(b.ctx, keys)
	took := time.Since(began)
	for _, k := range keys {
		k.asks++
		k.Asked = took
	}
}

// release gives leases back.
func (b *Batch) release(keys []*Key, backoff time.Duration) {
	if len(keys) == 0 {
		return
	}
	for _, k := range keys {
		k.Held = false
	}
	b.backend.Release(b.base, keys, backoff)
}

// releaseFailed gives the leases of loads back that have failed, all of one call of the
// loader, and has the fleet leave their keys alone for as long as that took.
func (b *Batch) releaseFailed(keys []*Key) {
	if len(keys) == 0 {
		return
	}
	backoff := min(max(keys[0].Took, 100*time.Millisecond), time.Second)
	for _, k := range keys {
		b.holdOff(k, backoff)
	}
	b.release(keys, backoff)
}
