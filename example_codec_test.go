package cache_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/larder-go/cache"
)

// A deployment that changes what a field means, with old processes beside it.
func ExampleWithSchema() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	before := must(cache.New(rdb, "prices", cache.Aside[int](), cache.WithSchema(1))) // euros
	defer before.Close()
	after := must(cache.New(rdb, "prices", cache.Aside[int](), cache.WithSchema(2))) // cents
	defer after.Close()
	euros := func(context.Context, string) (int, error) { return 5, nil }
	cents := func(context.Context, string) (int, error) { return 500, nil }

	fmt.Println(must(before.GetOrLoad(ctx, "tea", euros)))
	fmt.Println(must(after.GetOrLoad(ctx, "tea", cents)))  // an older entry is replaced
	fmt.Println(must(before.GetOrLoad(ctx, "tea", euros))) // a newer one is left alone
	fmt.Println(must(after.Get(ctx, "tea")))
	// Output:
	// 5
	// 500
	// 5
	// 500
}

// deflated is JSON made small, for large values.
type deflated struct{}

// CodecID is kept in each entry: an entry of another codec is a miss. Ids below
// 16 are the library's.
func (deflated) CodecID() uint8 { return 16 }

// Append encodes v behind dst.
func (deflated) Append(dst []byte, v any) ([]byte, error) {
	plain, err := cache.JSON.Append(nil, v)
	if err != nil {
		return dst, err
	}
	out := bytes.NewBuffer(dst)
	w, err := flate.NewWriter(out, flate.BestSpeed)
	if err != nil {
		return dst, err
	}
	_, err = w.Write(plain)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// Decode decodes data into v. It is given what Redis holds: bound what it may
// unpack to.
func (deflated) Decode(data []byte, v any) error {
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), 16<<20))
	if err != nil {
		return err
	}
	return cache.JSON.Decode(plain, v)
}

// A codec with an id may be introduced while processes with the old one run.
func ExampleCodec() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	pages := must(cache.New(rdb, "pages", cache.Aside[string](), cache.WithCodec(deflated{})))
	defer pages.Close()
	render := func(context.Context, string) (string, error) { return strings.Repeat("<li>", 10_000), nil }

	for range 2 { // encoded, then decoded
		fmt.Println("bytes:", len(must(pages.GetOrLoad(ctx, "home", render))))
	}
	fmt.Println("a tenth in Redis:", rdb.StrLen(ctx, "pages:home").Val() < 4000)
	// Output:
	// bytes: 40000
	// bytes: 40000
	// a tenth in Redis: true
}

// Large values may take less room in Redis and on the wire.
func ExampleCompressed() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	codec := cache.Compressed(cache.JSON, cache.CompressOptions{Above: 4 << 10})
	pages := must(cache.New(rdb, "pages", cache.Aside[string](), cache.WithCodec(codec)))
	defer pages.Close()
	render := func(context.Context, string) (string, error) { return strings.Repeat("an oak chair, ", 5_000), nil }

	for range 2 { // packed, then unpacked
		fmt.Println("bytes:", len(must(pages.GetOrLoad(ctx, "home", render))))
	}
	fmt.Println("a tenth in Redis:", rdb.StrLen(ctx, "pages:home").Val() < 7_000)
	// Output:
	// bytes: 70000
	// bytes: 70000
	// a tenth in Redis: true
}

// Values may be hidden from who can read Redis, and bound to their keys.
func ExampleEncrypted() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	keys := cache.KeyRing{Current: "2026-06", Keys: map[string][]byte{
		"2026-06": []byte("32 bytes out of a secret store.."),
		"2026-01": []byte("what encrypted until the summer."), // still decrypts
	}}
	codec := cache.Encrypted(cache.Compressed(cache.JSON, cache.CompressOptions{}), keys)
	patients := must(cache.New(rdb, "patients", cache.Aside[string](), cache.WithCodec(codec)))
	defer patients.Close()

	if err := patients.Set(ctx, "42", "Ada Lovelace"); err != nil {
		panic(err)
	}
	fmt.Println(must(patients.Get(ctx, "42")))
	fmt.Println("legible in Redis:", strings.Contains(rdb.Get(ctx, "patients:42").Val(), "Ada"))
	// Output:
	// Ada Lovelace
	// legible in Redis: false
}

// A key is rotated in three roll-outs: known everywhere, then in use, then gone.
func ExampleKeyRing() {
	old, next := make([]byte, 32), []byte("32 bytes out of a secret store..")
	rollOuts := []cache.KeyRing{
		{Current: "1", Keys: map[string][]byte{"1": old, "2": next}},
		{Current: "2", Keys: map[string][]byte{"1": old, "2": next}},
		{Current: "2", Keys: map[string][]byte{"2": next}}, // once the entries of "1" have expired
	}
	written := must(cache.Encrypted(cache.JSON, rollOuts[0]).Append(nil, "a value"))
	for _, keys := range rollOuts {
		var v string
		err := cache.Encrypted(cache.JSON, keys).Decode(written, &v)
		fmt.Printf("%q, decrypted: %v\n", v, err == nil)
	}
	// Output:
	// "a value", decrypted: true
	// "a value", decrypted: true
	// "", decrypted: false
}

// Completion is the request of a model call, whose answer is worth keeping.
type Completion struct {
	Model       string
	Temperature float64
	Messages    []string
	Options     map[string]any
}

// Whatever decides the answer goes into the key.
func ExampleHashKey() {
	ctx := context.Background()
	rdb := embeddedRedis()
	defer rdb.Close()
	month := &cache.TTL{Name: "completions", Fresh: 30 * 24 * time.Hour}
	answers := must(cache.New(rdb, "answers", cache.Aside[string](), cache.Expires(month)))
	defer answers.Close()

	ask := func(c Completion) {
		key := cache.HashKey("v1", c) // raise it when the prompt's template changes
		fmt.Println(must(answers.GetOrLoad(ctx, key, func(context.Context, string) (string, error) {
			fmt.Println("POST /completions")
			return "42", nil
		})))
	}
	question := []string{"What is six times seven?"}
	ask(Completion{"small", 0, question, map[string]any{"seed": 1, "top": 5}})
	ask(Completion{"small", 0, question, map[string]any{"top": 5, "seed": 1}}) // maps have no order
	ask(Completion{"large", 0, question, nil})
	// Output:
	// POST /completions
	// 42
	// 42
	// POST /completions
	// 42
}

// Parts do not run into each other, and only their kind and value count.
func ExampleHashKey_parts() {
	fmt.Println(len(cache.HashKey()))
	fmt.Println(cache.HashKey("a", "bc") == cache.HashKey("ab", "c"))
	fmt.Println(cache.HashKey(int32(7)) == cache.HashKey(7))
	fmt.Println(cache.HashKey(uint(7)) == cache.HashKey(7))
	// Output:
	// 64
	// false
	// true
	// false
}
