// Package store is the one door to Redis. It sends the protocol's commands and
// scripts, keeps each of them within a time budget, and knows nothing about
// codecs, loaders or policies: it deals in keys, records, tokens and time.
//
// A read is a GET, or the pipeline PTTL, GET where the node's clock is not known.
// Everything that changes a record is a Lua script on exactly one key (files lua/*.lua, which are the specification of
// what a record may become), so a cluster needs no hash tags and a lost key is
// always a safe invalidation. Where there is one node, a batch calls the same text
// for one key after the other (lua/each.lua); no key of it depends on another.
//
// # Budgets
//
// Every operation ends within its budget (read 100 ms, script 150 ms unless
// [Options] says otherwise) or at the caller's deadline, whichever is first,
// whatever the client's own timeouts are. How depends on the client:
//
//   - A client with ContextTimeoutEnabled runs on the caller's goroutine with a
//     context that ends with the budget. go-redis bounds the wait for a
//     connection, each socket operation and each back-off by that context, so
//     retries cannot stretch the budget. A caller that is cancelled while a
//     reply is awaited is released with that reply or with the budget: go-redis
//     does not watch for cancellation during a read.
//   - Any other client (without it, of an unknown type, or without socket
//     deadlines) runs on a goroutine of the store's. The caller leaves at its
//     deadline, its cancellation or the budget; the result is then dropped. The
//     goroutine ends when the client returns: the context ends the retries and
//     the wait for a connection, the client's ReadTimeout, if it has one, the
//     wait for a reply. So a frozen server holds no more of them than the client
//     has connections.
//     [Store.Close] waits for them.
//
// A clone made by Client.WithTimeout would bound a plain client's sockets on the
// caller's goroutine, but go-redis gives it none of the client's hooks, so that
// tracing and metrics would miss the cache's commands; and its bound is a
// multiple of the budget: connecting, writing and reading each have their own.
//
// # Retries
//
// go-redis sends a command again after a lost reply. All scripts but set are
// safe under that: they recognise their own token or answer in the direction
// that costs a reload. set is marked so that the client never repeats it.
package store
