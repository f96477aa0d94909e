// Package envelope is the wire format of a cached record: what the bytes under
// one Redis key mean. It deals in bytes and never talks to Redis.
//
// A record is a header of 64 ASCII bytes, which the Lua scripts read and patch
// in place, followed by a body, which they move but never look into:
//
//	byte  len  header field
//	 1     2   magic "K1"
//	 3     1   kind, see [Kind]
//	 4    13   deadline of a lease, intent or back-off: decimal ms of Redis time
//	17    16   token of the lease
//	33    16   cid, the token of the load that produced the body
//	49    16   version, lowercase hex; in an [Intent] the first is the conflict flag
//
//	len      body field, of kinds Value, Soft and Dirty; integers are big endian
//	 1       format, 1
//	 1       flags: 1 is absent
//	 1       id of the codec
//	 2       schema of the codec
//	 8       ms of Redis time when the load began, 0 is unknown
//	 uvarint cost of the load, µs
//	 uvarint its moving average, µs
//	 uvarint soft lifetime, ms
//	 uvarint grace after it, ms
//	16       clear token
//	 1       number of tags, at most 8
//	24 each  tag: 8 bytes id, 16 bytes token
//	 4       CRC-32C over the Redis key, the version as in the header, and the
//	         body without these four bytes
//	 rest    payload
//
// The body of an [Intent] is the list of the open intents' tokens, 16 bytes
// each; leases and back-offs have none.
//
// Each record has exactly one encoding: decoding refuses what encoding would
// not have written. The bytes are frozen by the files in testdata, so a process
// of an older version can share a Redis with a newer one.
package envelope
