// Package cachetest gives unit tests a Redis: an in-memory server (miniredis)
// inside the test process, with a client connected to it and a clock that the
// test moves.
//
//	rdb := cachetest.Redis(t)
//	c, err := cache.New(rdb, …)
//	…
//	rdb.Advance(time.Hour) // what lives an hour has expired
//	rdb.Fail("LOADING Redis is loading the dataset in memory")
//	… // what does the program do while Redis fails?
//
// For tests in a testing/synctest bubble, where the clock is one for the program
// and for Redis, see [Bubble].
//
// An in-memory server is not Redis. It has no eviction, replication, persistence
// or client-side caching, and it takes all keys for those of one cluster slot:
// test what depends on these against a real server. Where an int has 32 bits, it cuts
// the times that scripts return, and entries do not expire as they should.
package cachetest
