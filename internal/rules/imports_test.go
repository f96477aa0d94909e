package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const goRedis = "github.com/redis/go-redis/v9"

// imports is who may import whom beside the standard library: packages of this module by
// their folder, and modules of others. It is drawn in ARCHITECTURE.md, from the outside in.
var imports = map[string][]string{
	// What users import. The root knows go-redis for its clients' types alone, and how
	// commands get to Redis not at all: it asks internal/store.
	".": {
		"internal/behind", "internal/bus", "internal/diagnose", "internal/envelope", "internal/expiry", "internal/keyspace",
		"internal/load", "internal/mono", "internal/near", "internal/pending", "internal/record", "internal/region", "internal/store", "internal/telemetry",
		goRedis, "go.opentelemetry.io/otel", "golang.org/x/sync", "github.com/klauspost/compress", "github.com/segmentio/encoding",
	},
	"cachetest": {goRedis, "github.com/alicebob/miniredis/v2"},

	// One named set of entries in this process: it builds and ends the others.
	"internal/region": {
		"internal/envelope", "internal/expiry", "internal/keyspace", "internal/load", "internal/mono", "internal/near",
		"internal/pending", "internal/record", "internal/store", "internal/telemetry", "go.opentelemetry.io/otel",
	},
	// From a miss to its result. It knows no Redis, and no types.
	"internal/load":   {"internal/holdoff", "internal/mono"},
	"internal/behind": {"internal/envelope", "internal/store"},
	// What is said to Redis: commands and scripts.
	"internal/store": {"internal/conn", "internal/envelope", "internal/mono", "internal/record", goRedis},
	// How it gets there. It knows no record.
	"internal/conn": {"internal/breaker", "internal/keyspace", "internal/mono", goRedis},
	"internal/bus":  {"internal/mono", goRedis},

	"internal/near":    {"internal/mono", "github.com/maypok86/otter/v2"},
	"internal/breaker": {"internal/mono"},

	// What is found in what servers say.
	"internal/diagnose": {"internal/store"},
	// What a cache reports of itself. It knows no Redis, and no types either.
	"internal/telemetry": {"internal/meter", "internal/mono", "go.opentelemetry.io/otel"},

	// What is pure.
	"internal/record":   {"internal/envelope", "internal/expiry"},
	"internal/envelope": nil,
	"internal/expiry":   nil,
	"internal/holdoff":  nil,
	"internal/keyspace": {"github.com/cespare/xxhash/v2"},
	"internal/meter":    nil,
	"internal/model":    nil,
	"internal/pending":  {"internal/envelope", "internal/keyspace"},
	"internal/mono":     nil,

	"internal/dash":     {"internal/meter"},
	"internal/dash/gen": {"internal/dash"},
}

// tools are what is made of our own packages for tests and measurements; they may import
// what they like.
var tools = []string{"bench", "examples", "internal/oteltest", "internal/redistest", "internal/rules", "internal/stress", "internal/testkit", "test", "tools"}

func TestWhoImportsWhomIsWhatTheTableSays(t *testing.T) {
	for _, s := range sources(t) {
		if s.tests || s.in(tools...) {
			continue
		}
		allowed, ok := imports[s.dir()]
		if !assert.True(t, ok, "%s: the table of imports does not have this package", s.path) {
			continue
		}
		for _, path := range s.imports() {
			standard := !strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
			assert.True(t, standard || slices.ContainsFunc(allowed, func(name string) bool { return within(path, name) }),
				"%s imports %s, which the table of imports does not allow", s.path, path)
		}
	}
}

// within reports whether a path is that of a folder of this module, or in a module of
// others.
func within(path, name string) bool {
	if inner, ours := strings.CutPrefix(path, module+"/"); ours {
		return inner == name
	}
	return path != module && (path == name || strings.HasPrefix(path, name+"/"))
}

// Nothing in the table is there for nobody: what it draws is what there is.
func TestTheTableOfImportsAllowsNoMoreThanThereIs(t *testing.T) {
	used := map[string][]string{}
	for _, s := range sources(t) {
		if !s.tests {
			used[s.dir()] = append(used[s.dir()], s.imports()...)
		}
	}
	for dir, allowed := range imports {
		for _, name := range allowed {
			assert.True(t, slices.ContainsFunc(used[dir], func(path string) bool { return within(path, name) }),
				"%s does not import %s", dir, name)
		}
	}
}
