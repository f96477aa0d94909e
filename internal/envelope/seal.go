package envelope

import (
	"encoding/binary"
	"hash/crc32"
	"unsafe"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unversioned is how version 0 is written. Nobody writes to it.
var unversioned = AppendVersion(nil, 0)

// Seal writes the checksum into body, which begins at its format byte and is
// complete but for that: body and crcAt are what [AppendBody] appended, behind
// it the payload. It allocates nothing.
//
// key is the full Redis key, so that a record copied to another key is not taken
// for a value of it. version is the one that the header will have, and 0 for a
// write-behind put, see [Header.SealedVersion].
func Seal(body []byte, crcAt int, key string, version uint64) {
	crc := sumVersion(sumKey(key), version)
	binary.BigEndian.PutUint32(body[crcAt:], sumBody(crc, body, crcAt))
}

// intact reports whether rec, whose header is h and whose checksum begins at
// byte crcAt of the body, is what was sealed for key.
func intact(rec []byte, h Header, crcAt int, key string) bool {
	version := rec[versionAt:restAt]
	if h.SealedVersion() != h.Version {
		version = unversioned
	}
	body := rec[HeaderSize:]
	crc := crc32.Update(sumKey(key), castagnoli, version)
	return sumBody(crc, body, crcAt) == binary.BigEndian.Uint32(body[crcAt:])
}

// sumKey returns the CRC-32C of key, with which each checksum begins.
func sumKey(key string) uint32 {
	// crc32 makes its argument escape, so a conversion would copy the key to
	// the heap at each hit. It only reads these bytes and does not keep them.
	return crc32.Update(0, castagnoli, unsafe.Slice(unsafe.StringData(key), len(key)))
}

// sumVersion adds the digits of v to crc. For crc32 they would have to be on the
// heap; sixteen steps through the table are about as fast as one allocation.
func sumVersion(crc uint32, v uint64) uint32 {
	crc = ^crc
	for shift := 60; shift >= 0; shift -= 4 {
		digit := hexDigits[v>>shift&0xf]
		crc = castagnoli[byte(crc)^digit] ^ crc>>8
	}
	return ^crc
}

// sumBody adds body, but not the checksum within it, to crc.
func sumBody(crc uint32, body []byte, crcAt int) uint32 {
	crc = crc32.Update(crc, castagnoli, body[:crcAt])
	return crc32.Update(crc, castagnoli, body[crcAt+crcSize:])
}
