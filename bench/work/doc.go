// Package work is what the benchmarks cache: documents of a chosen size, the keys
// that they are under, and a loader that makes them.
package work

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Doc is the value of all rows: some scalars, a nested struct, a map and a list, as
// records of services are.
type Doc struct {
	ID      int64             `json:"id"`
	Name    string            `json:"name"`
	Email   string            `json:"email,omitempty"`
	Active  bool              `json:"active"`
	Balance float64           `json:"balance"`
	Created time.Time         `json:"created"`
	Home    *Address          `json:"home,omitempty"`
	Tags    []string          `json:"tags,omitempty"`
	Attrs   map[string]string `json:"attrs,omitempty"`
	Lines   []Line            `json:"lines,omitempty"`
}

// Address is the nested struct.
type Address struct {
	Street string `json:"street"`
	City   string `json:"city"`
	Zip    string `json:"zip"`
}

// Line is one element of the list, about 92 bytes of JSON.
type Line struct {
	SKU      string  `json:"sku"`
	Title    string  `json:"title"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

// Sizes of a document in JSON, near enough: flat, nested, list.
const (
	Flat   = 100
	Nested = 1 << 10
	List   = 100 << 10
)

const (
	headSize = 366 // of the JSON of a document without lines
	lineSize = 92
)

// New returns the document of an id, about size bytes of JSON. It is the same
// each time.
func New(id int64, size int) Doc {
	d := Doc{
		ID: id, Name: fmt.Sprintf("user %08d", id), Active: id%2 == 0, Balance: float64(id) / 4,
		Created: time.Unix(1_700_000_000+id, 0).UTC(),
	}
	if size <= Flat {
		return d
	}
	d.Email = fmt.Sprintf("user-%08d@mail.example.org", id)
	d.Home = &Address{Street: "12 Long and Winding Road", City: "Liverpool", Zip: "L18 1DE"}
	d.Tags = []string{"customer", "newsletter", "since-2019"}
	d.Attrs = map[string]string{"city": "London", "plan": "enterprise", "region": "eu-west-1", "lang": "en"}
	for n := 0; n < max((size-headSize+lineSize/2)/lineSize, 1); n++ {
		d.Lines = append(d.Lines, Line{
			SKU: fmt.Sprintf("SKU-%010d", n), Title: "a thing of some length, no. " + strconv.Itoa(n%10),
			Quantity: n%7 + 1, Price: float64(n%1000)/4 + 0.25,
		})
	}
	return d
}

const keyPrefix = "user:"

// Key returns the n-th key.
func Key(n int) string { return fmt.Sprintf("%s%08d", keyPrefix, n) }

// Keys returns the first n keys.
func Keys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = Key(i)
	}
	return keys
}

// ID returns the id of the document that belongs under key, or -1.
func ID(key string) int64 {
	id, err := strconv.ParseInt(strings.TrimPrefix(key, keyPrefix), 10, 64)
	if err != nil {
		return -1
	}
	return id
}

// Loader is the source that all rows load from.
type Loader func(ctx context.Context, key string) (Doc, error)

// Instant returns a loader that makes the documents at once.
func Instant(size int) Loader {
	return func(_ context.Context, key string) (Doc, error) { return New(ID(key), size), nil }
}
