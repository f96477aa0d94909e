package cache_test

import (
	"bytes"
	"runtime/metrics"
	"testing"

	"github.com/larder-go/cache"
)

// fuzzBound is how many bytes a payload may unpack to in the fuzz tests.
const fuzzBound = 1 << 16

// allocated is how many bytes the program has allocated so far. Large ones count
// at once, and it does not stop the world, which would be most of a fuzz test.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// bounded fails the test if f takes much more memory than its input and the bound.
func bounded(t *testing.T, input int, f func()) {
	t.Helper()
	before := allocated()
	f()
	if took, most := allocated()-before, uint64(1<<20+8*(input+fuzzBound)); took > most {
		t.Fatalf("took %d bytes of memory, more than %d, for %d of input", took, most, input)
	}
}

func FuzzCompressed(f *testing.F) {
	o := cache.CompressOptions{Above: 16, MaxDecoded: fuzzBound}
	c := cache.Compressed(verbatim{}, o)
	for _, value := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("repeats "), 50), make([]byte, fuzzBound), noise(100)} {
		f.Add(value, 1)
		f.Add(encoded(f, c, value), 3)
	}
	f.Add(block(1<<32-1, make([]byte, 100)), 1)
	f.Add(block(fuzzBound+1, make([]byte, fuzzBound+1)), 1)
	f.Fuzz(func(t *testing.T, data []byte, times int) {
		var got []byte
		bounded(t, len(data), func() {
			if err := c.Decode(data, &got); err == nil && len(got) > max(fuzzBound, len(data)) {
				t.Fatalf("%d bytes unpack to %d", len(data), len(got))
			}
		})
		value := bytes.Repeat(data, max(1, min(times, 8)))
		payload := encoded(t, c, value)
		if len(payload) > len(value)+2 {
			t.Fatalf("%d bytes became %d", len(value), len(payload))
		}
		if err := c.Decode(payload, &got); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("another value, or %v", err)
		}
	})
}

func FuzzEncrypted(f *testing.F) {
	packed := cache.Compressed(verbatim{}, cache.CompressOptions{Above: 16, MaxDecoded: fuzzBound})
	c := encrypts(packed, ring("a", "b"))
	f.Add([]byte("value"), "users:42", 0)
	f.Add(bytes.Repeat([]byte("repeats "), 50), "", 40)
	f.Add(sealed(f, c, "users:42", []byte("value")), "users:42", 13)
	f.Add([]byte{1, 255, 'a'}, "users:42", 1)
	f.Add([]byte{1, 1, 'b'}, "users:42", 2)
	f.Fuzz(func(t *testing.T, data []byte, entry string, at int) {
		got := []byte("as before")
		bounded(t, len(data)+len(entry), func() {
			// Only what was seeded with the key can pass.
			if err := c.DecodeEntry(data, entry+"?", &got); err == nil || string(got) != "as before" {
				t.Fatalf("forged %q: %v", got, err)
			}
		})
		payload := sealed(t, c, entry, data)
		if err := c.DecodeEntry(payload, entry, &got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("another value, or %v", err)
		}
		payload[uint(at)%uint(len(payload))] ^= 1 << (uint(at) % 8)
		if err := c.DecodeEntry(payload, entry, &got); err == nil {
			t.Fatal("a flipped bit went unnoticed")
		}
	})
}
