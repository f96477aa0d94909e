// Package envelope is the wire format of a cached record: what the bytes under
// one Redis key mean. It deals in bytes and never talks to Redis.
//
// A record is a header of 80 ASCII bytes, which the Lua scripts read and patch
// in place, followed by a body, which they move but never look into:
//
//	byte  len  header field
//	 1     2   magic "K1"
//	 3     1   kind, see [Kind]
//	 4    13   deadline of a lease, intent or back-off: decimal ms of Redis time;
//	           of a [Dirty] record a mark: 1 if it was put over an intent
//	17    13   soft deadline of a [Value]: decimal ms of Redis time, 0 is unknown
//	30    16   token of the lease
//	46    16   cid, the token of the load that produced the body
//	62    16   version, lowercase hex; in an [Intent] the first is the conflict flag
//	78     3   "000"; anything else is a newer program's
//
//	len      body field, of kinds Value and Dirty; integers are big endian
//	 1       format, 1
//	 1       flags: 1 is absent, 2 has a proof, 4 is reserved for lists
//	 1       id of the codec
//	 2       schema of the codec
//	 8       ms of Redis time when the load began, 0 is unknown
//	 uvarint cost of the load, µs
//	 uvarint its moving average, µs
//	 uvarint soft lifetime, ms
//	 uvarint grace after it, ms
//	16       clear token
//	 1       number of tags, at most 32
//	24 each  tag: 8 bytes id, 16 bytes token
//	1        length of the proof, at most 64, with flag 2 only
//	         the proof, which authenticates all before it
//	 4       CRC-32C over the Redis key, the version as in the header, and the
//	         body without these four bytes
//	 rest    payload
//
// The body of an [Intent] is the list of the open intents, 29 bytes each: token,
// and deadline in 13 digits; the header has the last deadline. Leases and
// back-offs have no body.
//
// Each record has exactly one encoding: decoding refuses what encoding would
// not have written. The bytes are frozen by the files in testdata, so a process
// of an older version can share a Redis with a newer one.
package envelope
