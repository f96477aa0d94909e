// Package store is what is said to Redis about records: the protocol's commands and
// scripts, and what their answers mean. It deals in keys, records, tokens and time, and
// knows nothing about codecs, loaders or policies. How a command gets to Redis, and how
// long it may take, is internal/conn's.
//
// Everything that changes a record is a Lua script on exactly one key (files lua/*.lua,
// which are the specification of what a record may become), so a cluster needs no hash
// tags and a lost key is always a safe invalidation.
//
// Operations are about any number of keys, each with an outcome of its own, which is left
// beside the question: an error of one says nothing about the others, and a key that is
// there twice is done twice, in their order. They are one exchange, which a client of
// several nodes splits into one for each; a node that does not know a script costs one
// more. On the only node of a deployment several keys are one script for each 64 of them
// (lua/each.lua of internal/conn), elsewhere one for each key. No key of a script depends
// on another.
//
// # Retries
//
// go-redis sends a command again after a lost reply. All scripts but set, acquire, wbegin
// and put are safe under that: they recognise their own token or answer in the direction
// that costs a reload. Those four are marked so that the client never repeats them. A late
// copy of set would bring an older value back over a newer one. A late acquire would grant
// a token again that an invalidation has killed meanwhile, and with it the commit of what
// was loaded before; a late wbegin would reopen an intent without the mark of the writes
// that overlapped it. (internal/model, variants 56 and 57.)
package store
