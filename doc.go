// Package cache is a typed cache for Go services over Redis that is right under
// concurrency by default.
//
//	users, err := cache.New(rdb, "users", cache.Aside[User]())
//	u, err := users.GetOrLoad(ctx, "42", repo.Find)
//
// # What happens on GetOrLoad
//
//		caller ──► read ──► fresh? ──► the value; XFetch may refresh it in the background
//		            │ one round trip
//		            ▼ miss
//		         flight ──► acquire ──► loader ──► commit ──► the value, for all who wait
//		         one a key   lease in      detached   only while the
//		         and process the record    context    lease is there
//
//	 1. The key is read: one round trip of plain commands.
//	 2. A fresh entry is decoded and returned. Near the end of its life one caller
//	    refreshes it in the background, the earlier the longer its load takes.
//	 3. On a miss the caller joins the key's flight in this process, or starts it.
//	 4. The flight takes the key's lease, which lives in the record itself, with a
//	    token that is never used twice. If another process has it, the flight
//	    polls for that process's value.
//	 5. The loader runs, detached from its caller's cancellation, bounded by the
//	    load timeout; the lease is renewed while it does.
//	 6. The value is committed only if the token is still in the record. Whatever
//	    changed or removed the entry meanwhile has removed the token.
//	 7. Everybody who waited gets the value, if the commit was accepted after they
//	    had joined; the others look again.
//
// # What a write does
//
// Commit to the system of record, then call [Cache.Invalidate], which deletes
// the entry and any lease. A loader that read the old row is fenced off: what it
// loaded is not stored. [Cache.Update] does both, and survives a writer that
// dies between them.
//
// # What is promised
//
// A call that starts after Invalidate has returned nil is never served older
// data from Redis, provided that the loader reads the primary with a snapshot
// taken after it was called, that Redis lost no acknowledged write in a
// failover, and that the client does not read from replicas. Otherwise the
// entry's hard TTL bounds the staleness.
//
// A Redis that is slow or down is never an error of GetOrLoad: within its
// budget of 100 ms a read gives way to the loader, and at most as many loads as
// [WithLoadLimit] says run at once.
//
// Not promised: order across keys, exactly one load for each miss (an eviction,
// a failover or an invalidation lets a second one start), and freshness that the
// system of record's own replicas do not have.
package cache
