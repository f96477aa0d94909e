// Package conn is how a command gets to Redis: within a budget, past breakers, on
// whatever client there is. It knows keys, scripts and replies, and nothing of what
// they mean; that is internal/store's.
//
// A [Client] sends [Ops], which are scripts and plain commands, one alone and several
// in one pipeline; and it reads strings ([Client.Read]): by GET, or the pipeline PTTL,
// GET where the node's clock is not known. What is known of one server is its [Node].
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
//     deadlines) runs on a goroutine of the Client's. The caller leaves at its
//     deadline, its cancellation or the budget; the result is then dropped. The
//     goroutine ends when the client returns: the context ends the retries and
//     the wait for a connection, the client's ReadTimeout, if it has one, the
//     wait for a reply. So a frozen server holds no more of them than the client
//     has connections.
//     [Client.Close] waits for them.
//
// A clone made by Client.WithTimeout would bound a plain client's sockets on the
// caller's goroutine, but go-redis gives it none of the client's hooks, so that
// tracing and metrics would miss the cache's commands; and its bound is a
// multiple of the budget: connecting, writing and reading each have their own.
//
// # Retries
//
// go-redis sends a command again after a lost reply. Scripts must bear that, or be
// marked by [Script.SentOnce], which the client then never repeats.
package conn
