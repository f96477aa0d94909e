package cache_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/larder-go/cache"
)

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
