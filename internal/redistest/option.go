package redistest

import (
	"fmt"
	"strconv"
	"strings"
)

// Option changes how a server is started. Later options win over earlier ones.
type Option func(*settings)

// directive is one line of a server's configuration file.
type directive struct{ key, value string }

// settings is what the options add up to.
type settings struct {
	directives []directive
	cluster    bool // needs the bus port too
	sentinel   bool
}

// Config sets one directive of the server's configuration, as in redis.conf.
// The value is quoted for the file; a directive with several arguments is given
// them as one value, separated by spaces, none of which may hold a space itself.
// A server that does not know the directive does not start.
func Config(key, value string) Option {
	return func(s *settings) { s.directives = append(s.directives, directive{key, value}) }
}

// MaxMemory limits the server's memory to bytes (zero: no limit) and says what
// is evicted above it, for example "allkeys-random" or "noeviction". An empty
// Redis uses about 1 MB already.
func MaxMemory(bytes int64, policy string) Option {
	return func(s *settings) {
		Config("maxmemory", strconv.FormatInt(bytes, 10))(s)
		Config("maxmemory-policy", policy)(s)
	}
}

// AppendOnly turns the append-only file on, which survives Kill and Restart.
// fsync is "always", "everysec" or "no".
func AppendOnly(fsync string) Option {
	return func(s *settings) {
		Config("appendonly", "yes")(s)
		Config("appendfsync", fsync)(s)
	}
}

// asClusterNode makes the server a member of a cluster, still alone.
func asClusterNode(s *settings) {
	s.cluster = true
	Config("cluster-enabled", "yes")(s)
}

// asSentinel makes the process a sentinel.
func asSentinel(s *settings) { s.sentinel = true }

// file returns the configuration file of a server in dir that listens on port.
func (s *settings) file(dir string, port int) string {
	lines := []directive{
		{"port", strconv.Itoa(port)},
		{"bind", "127.0.0.1"},
		{"protected-mode", "no"},
		{"daemonize", "no"},
		{"dir", dir},
		{"loglevel", "warning"},
	}
	if !s.sentinel {
		lines = append(lines, directive{"save", ""}, directive{"appendonly", "no"})
	}
	var b strings.Builder
	for _, d := range append(lines, s.directives...) {
		fmt.Fprintln(&b, d.key, d.arguments())
	}
	return b.String()
}

// arguments quotes the value, which may be empty, each of its words alone. A
// directory keeps its spaces.
func (d directive) arguments() string {
	words := strings.Fields(d.value)
	if len(words) < 2 || d.key == "dir" {
		return strconv.Quote(d.value)
	}
	for i, w := range words {
		words[i] = strconv.Quote(w)
	}
	return strings.Join(words, " ")
}
