// Package bus carries the invalidation messages of the in-process tier: classic
// PUBLISH, heard on one subscription connection for all channels, with proof of
// when it was last known to hear.
//
// Pub/sub is at most once, and a connection that has died may stay silent for
// minutes without an error. So the bus does not promise that a message arrives;
// it promises to say when one may be missing:
//
//   - The connection is PINGed, and [Bus.Proven] is the time at which the last
//     PING was sent that was answered. Messages and PONGs come in order on one
//     connection: each message published before that PING ran has been
//     delivered. If the link becomes a black hole, that time just stops.
//   - [Listener.Lost] is called as soon as a message may be missing: at an
//     error, a PONG that is overdue, a subscription that was made anew.
//   - [Listener.Back] is called when the server has confirmed the subscription
//     of that channel on the connection of now, and has answered a PING sent
//     after that.
//
// go-redis' PubSub.Channel is not used: it subscribes again in silence, drops
// messages when its reader is slow, and its health check only writes. A PubSub
// also dials again by itself when a read fails. Here each connection has a PubSub
// of its own, which is closed at the first error.
//
// # What a PONG does not prove
//
// That the node which answers gets the messages. On a cluster they come over the
// cluster bus from the node where the script ran, so only the time to live of what
// is kept bounds its age. The same holds for a client that subscribes to a replica,
// for a former primary that sentinels have replaced but cannot reach, and for
// miniredis, which may answer a PING before it has delivered a message.
//
// On a Ring a script publishes on the shard of its key, so the bus subscribes on
// each shard that is up, and every channel is lost while one of these is silent.
package bus
