package cache_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/larder-go/cache"
)

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
