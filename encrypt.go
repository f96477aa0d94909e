package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// KeyRing holds the keys of [Encrypted]. To rotate: first give all processes the
// new key in Keys, then make it Current, and take the old one away when the
// last entry of it has expired, and under [WriteBehind] has been flushed.
type KeyRing struct {
	// Current is the id of the key that encrypts. Ids have 1 to 255 bytes and are
	// written, readable, into every entry.
	Current string
	// Keys has a key of 32 random bytes for each id; all of them decrypt. Never
	// give an id another key.
	Keys map[string][]byte
}

// Encrypted is c with its encodings encrypted by AES-256-GCM under keys.Current.
// The entry, which is the cache's name and the key, is authenticated with the
// value, and with it what the cache keeps beside: that there is no such record, when it was
// loaded and for how long it may be kept, its tags. Bytes that were changed, or copied from
// another entry, another cache or another inner codec, do not decrypt. Neither does what
// was written under a key that is not in the ring. All that is a miss, counted in
// Stats.Corrupt and replaced by the next load; a write-behind value that is not flushed yet is
// bypassed instead, and in the end a dead letter if no worker can decrypt it. The reasons
// of dead letters are encrypted, too.
//
// Not hidden are keys, absences, times, and sizes: over [Compressed] the size
// tells something of the content too, which matters where an attacker chooses a
// part of the value and sees its size. Who can write to Redis without a key can delete
// entries, and put back an older one of the same key as long as that one was fresh; of what
// was put by [WriteBehind] also later, and have it written to the sink again.
//
// Nonces are random, so one key must not encrypt more than 2^32 values, over all
// processes and caches that use it: at a thousand writes a second, rotate within
// 49 days. The keys are copied. An entry is larger by 47 bytes
// and the id, and reading one costs a hash of some hundred bytes.
//
// New refuses a ring without Current in Keys, a key that has not 32 bytes, and
// an inner codec that is Encrypted itself.
func Encrypted(c Codec, keys KeyRing) Codec {
	e := &encrypted{inner: c, innerID: codecID(c), ciphers: map[string]cipher.AEAD{}, provers: map[string][]byte{}}
	e.refused = strings.Join(append(e.addKeys(keys), e.nesting()...), "; ")
	e.current, e.proving = e.ciphers[keys.Current], e.provers[keys.Current]
	e.head = append([]byte{encryptedFormat, byte(len(keys.Current))}, keys.Current...)
	return e
}

// A payload of Encrypted is a head (the format's version, the length of the key
// id, the key id), a random nonce of 12 bytes, and the ciphertext with its tag of
// 16 bytes. Authenticated with it are the head, the id of the inner codec, and
// the entry.
const (
	encryptedFormat = 1

	encryptedExtra = 12 + 16
)

var (
	errEncrypted  = errors.New("not an encrypted value")
	errKeyID      = errors.New("encrypted under a key that is not in the key ring")
	errDecryption = errors.New("does not decrypt: another key or entry, or damaged")
)

// encrypted is the codec of Encrypted.
type encrypted struct {
	inner   Codec
	innerID uint8
	ciphers map[string]cipher.AEAD // by key id
	provers map[string][]byte      // keys of the proofs, by key id
	current cipher.AEAD
	proving []byte // current's key of proofs
	head    []byte // of what current encrypts
	refused string // why New refuses it
	reuses  bool   // buffers that inner has decoded from
}

// addKeys makes the ciphers, and says what is wrong with the ring.
func (e *encrypted) addKeys(keys KeyRing) (refused []string) {
	for _, id := range slices.Sorted(maps.Keys(keys.Keys)) {
		key := keys.Keys[id]
		if len(id) == 0 || len(id) > 255 {
			refused = append(refused, fmt.Sprintf("KeyRing.Keys: a key id has 1 to 255 bytes, not %d", len(id)))
			continue
		}
		if len(key) != 32 {
			refused = append(refused, fmt.Sprintf("KeyRing.Keys: the key %q has %d bytes, not 32", id, len(key)))
			continue
		}
		block, err := aes.NewCipher(key)
		if err == nil {
			e.ciphers[id], err = cipher.NewGCMWithRandomNonce(block)
		}
		if err == nil {
			e.provers[id], err = hkdf.Key(sha256.New, key, nil, proofInfo, sha256.Size)
		}
		if err != nil {
			refused = append(refused, fmt.Sprintf("KeyRing.Keys: the key %q: %v", id, err))
		}
	}
	if _, ok := keys.Keys[keys.Current]; !ok {
		refused = append(refused, fmt.Sprintf("KeyRing.Current: %q is not in Keys", keys.Current))
	}
	return refused
}

// nesting says what is wrong with the inner codec.
func (e *encrypted) nesting() (refused []string) {
	if _, ok := e.inner.(*encrypted); ok {
		refused = append(refused, "Encrypted(Encrypted(…)): encrypt once; old keys go into KeyRing.Keys")
	}
	if problem := problemOfCodec(e.inner); problem != "" {
		refused = append(refused, "Encrypted: "+problem)
	}
	return refused
}

func (e *encrypted) problem() string { return e.refused }

// forType gives the inner codec what was decrypted, and needs no copy itself.
func (e *encrypted) forType(d decoded) (_ Codec, clone bool) {
	layer := *e
	layer.inner, clone = codecFor(e.inner, d)
	layer.reuses = !clone
	return &layer, false
}

func (e *encrypted) CodecID() uint8 { return layerEncrypted.over(e.inner) }

func (e *encrypted) Append(dst []byte, v any) ([]byte, error) { return e.AppendEntry(dst, "", v) }

func (e *encrypted) Decode(data []byte, v any) error { return e.DecodeEntry(data, "", v) }

// AppendEntry appends the payload of v, for entry alone.
func (e *encrypted) AppendEntry(dst []byte, entry string, v any) ([]byte, error) {
	if e.refused != "" {
		return dst, errors.New(e.refused)
	}
	scratch := borrowScratch()
	bound := e.bind(*scratch, e.head, entry)
	buf, err := appendEntry(e.inner, bound, entry, v)
	switch {
	case err != nil:
		returnScratch(scratch, bound)
		return dst, err
	case len(buf) < len(bound):
		return dst, errNotAppended
	}
	// What is authenticated is in front of the value, in the same buffer.
	authentic, value := buf[:len(bound)], buf[len(bound):]
	dst = slices.Grow(dst, len(e.head)+encryptedExtra+len(value))
	dst = append(dst, e.head...)
	dst = e.current.Seal(dst, nil, value, authentic)
	returnScratch(scratch, buf)
	return dst, nil
}

// DecodeEntry decodes a payload that was made for entry.
func (e *encrypted) DecodeEntry(data []byte, entry string, v any) error {
	head, sealed, key, err := e.open(data)
	if err != nil {
		return err
	}
	scratch, room := borrowScratchIf(e.reuses, len(data)+len(entry))
	bound := e.bind(room, head, entry)
	buf, err := key.Open(bound, nil, sealed, bound)
	if err != nil {
		returnScratch(scratch, bound)
		return errDecryption
	}
	err = decodeEntry(e.inner, buf[len(bound):], entry, v)
	returnScratch(scratch, buf)
	return err
}

// proofInfo separates the keys of proofs from those of values, which they are made of
// (HKDF, RFC 5869).
const proofInfo = "github.com/larder-go/cache proof 1"

// tagSize is the length of GCM's tag, which stands at the end of a payload: a proof over it
// is one over all of the payload.
const tagSize = 16

// prove writes the first half of HMAC-SHA256 over what is proven, with its length, the end
// of the payload and the entry, of a key that is made of the current one.
func (e *encrypted) prove(proof []byte, entry string, proven, payload []byte) {
	copy(proof, proofOf(e.proving, entry, proven, payload))
}

// proven is nil if a key of the ring has made the proof: that of the payload, if there is
// one.
func (e *encrypted) proven(proof []byte, entry string, proven, payload []byte) error {
	of := ""
	if len(payload) > 0 {
		head, _, _, err := e.open(payload)
		if err != nil {
			return err
		}
		of = string(head[2:])
	}
	for id, key := range e.provers {
		if (of == "" || of == id) && hmac.Equal(proof, proofOf(key, entry, proven, payload)) {
			return nil
		}
	}
	return errProof
}

func proofOf(key []byte, entry string, proven, payload []byte) []byte {
	scratch := borrowScratch()
	text := binary.BigEndian.AppendUint32(*scratch, uint32(len(proven)))
	text = append(text, proven...)
	text = append(text, byte(min(len(payload), tagSize)))
	text = append(text, payload[max(len(payload)-tagSize, 0):]...)
	text = append(text, entry...)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(text) // never fails
	returnScratch(scratch, text)
	return mac.Sum(nil)[:proofSize]
}

// aboutEntry begins what is authenticated with a text about an entry: no entry begins so.
const aboutEntry = "\x00"

// sealText is a payload of the text itself, which no value's place accepts.
func (e *encrypted) sealText(entry, text string) string {
	bound := e.bind(nil, e.head, aboutEntry+entry)
	return string(e.current.Seal(slices.Clone(e.head), nil, []byte(text), bound))
}

func (e *encrypted) openText(entry, sealed string) (string, error) {
	head, rest, key, err := e.open([]byte(sealed))
	if err != nil {
		return "", err
	}
	text, err := key.Open(nil, nil, rest, e.bind(nil, head, aboutEntry+entry))
	if err != nil {
		return "", errDecryption
	}
	return string(text), nil
}

// open takes a payload apart.
func (e *encrypted) open(data []byte) (head, sealed []byte, key cipher.AEAD, err error) {
	if e.refused != "" {
		return nil, nil, nil, errors.New(e.refused)
	}
	if len(data) < 2 || data[0] != encryptedFormat || len(data)-2 < int(data[1]) {
		return nil, nil, nil, errEncrypted
	}
	end := 2 + int(data[1])
	head, sealed = data[:end], data[end:]
	key, ok := e.ciphers[string(head[2:])]
	if !ok {
		return nil, nil, nil, fmt.Errorf("%w: %q", errKeyID, head[2:])
	}
	return head, sealed, key, nil
}

// bind appends what is authenticated beside the value. The head tells its own
// length, so no two of them are equal for any head, inner codec and entry.
func (e *encrypted) bind(dst, head []byte, entry string) []byte {
	dst = append(dst, head...)
	dst = append(dst, e.innerID)
	return append(dst, entry...)
}
