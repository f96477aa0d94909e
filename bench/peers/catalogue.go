package peers

import (
	"fmt"
	"slices"

	"github.com/larder-go/cache"
)

// Names of rows that scenarios and targets refer to.
const (
	FloorRow       = "go-redis"
	OtterRow       = "otter"
	SameCodec      = "larder json"
	Default        = "larder"
	NearRow        = "larder L1"
	NearPointerRow = "larder L1 *T"
	NoLock         = "larder nolock"
)

var catalogue = []Row{
	{FloorRow, "GET + encoding/json", Floor, openFloor},
	{"go-redis sonic", "GET + bytedance/sonic", Other, openFloorSonic},
	{"AutoPipeline", "go-redis AutoPipeline + encoding/json", Other, openAutoPipeline},
	{SameCodec, "encoding/json", Ours, larderOf(false, cache.WithCodec(StdJSON{}))},
	{Default, "default codec", Ours, larderOf(false)},
	{NoLock, "default codec, Lock{Off}", Ours, larderOf(false, cache.WithLock(cache.Lock{Off: true}))},
	{"go-redis/cache", "msgpack", Other, openGoRedisCache},
	{"go-redis/cache json", "encoding/json", Other, openGoRedisCacheJSON},
	{"gocache", "msgpack", Other, openGoCache},
	{"rueidis", "GET + encoding/json", Other, openRueidis},
	{"sturdyc", "memory over encoding/json", Other, openSturdyc},
	{OtterRow, "GetIfPresent, set up as its README does", Floor, openOtter},
	{NearRow, "T = Doc, a copy a hit", Ours, larderOf(true)},
	{NearPointerRow, "T = *Doc", Ours, larderPointers(true)},
	{"ristretto", "memory alone", Other, openRistretto},
	{"rueidis CSC", "client-side cache + encoding/json", Other, openRueidisCSC},
	{"go-redis CSC", "client-side cache + encoding/json", Other, openGoRedisCSC},
	{"go-redis/cache L1", "TinyLFU of encoded values, msgpack", Other, openGoRedisCacheLocal},
}

// Missing are the libraries that could not be had, with the reason.
var Missing = []Absent{
	{"jetcache-go", "the module proxy has v1.2.0 only, and the checksum database does not know it, so its code cannot be verified; “go-redis sonic” is what a thin wrapper with its codec can reach at best"},
	{"rueidisaside", "the module proxy does not serve github.com/redis/rueidis/rueidisaside; “rueidis” is its hit without the lock"},
	{"rockscache", "the module proxy does not serve github.com/dtm-labs/rockscache"},
}

// Named returns the rows of these names, in this order. It panics for a name that
// is not in the catalogue: scenarios name them in code.
func Named(names ...string) []Row {
	rows := make([]Row, 0, len(names))
	for _, name := range names {
		row, err := Find(name)
		if err != nil {
			panic(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// All returns the whole catalogue.
func All() []Row { return slices.Clone(catalogue) }

// Find returns the row of a name.
func Find(name string) (Row, error) {
	for _, row := range catalogue {
		if row.Name == name {
			return row, nil
		}
	}
	return Row{}, fmt.Errorf("%w: %q", errUnknown, name)
}
