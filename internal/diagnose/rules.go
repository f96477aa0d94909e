// Package diagnose finds in what Redis servers say of themselves what makes a cache slow,
// forgetful or wrong. Its rules are pure functions of the answers: of a figure that was
// not told none concludes anything.
package diagnose

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/larder-go/cache/internal/store"
)

// What counts as much, as little, or as slow.
const (
	muchMemory   = 100 << 20             // bytes from which fragmentation costs something
	fragmented   = 1.5                   // resident bytes for each that is used
	fewHits      = 0.5                   // of the look-ups of a server
	enoughReads  = 10_000                // for a rate to mean something
	crowded      = 0.8                   // of maxclients
	slowTrip     = 20 * time.Millisecond // a fifth of a read's budget
	shortTimeout = 60                    // seconds after which a server hangs up
)

// Finding is the root package's Finding, whose comments say what the fields mean.
type Finding struct{ Name, Detail, Mend string }

// answers are what one server said, and what was found in it.
type answers struct {
	*store.Node
	several bool // say which one
	behind  bool // it keeps unflushed writes
	found   []Finding
}

// ofAll are the rules for each server, ofPrimaries those for what a replica does not
// decide.
var (
	ofAll       = []func(*answers){(*answers).unread, (*answers).version, (*answers).state, (*answers).latency}
	ofPrimaries = []func(*answers){(*answers).memory, (*answers).persistence, (*answers).replication, (*answers).traffic, (*answers).connections}
)

// Examine lists the findings about one server. several says that there are others, behind
// that a cache writes behind there: what would make it lose unflushed writes is a finding
// then, and no mend of another.
func Examine(n *store.Node, several, behind bool) []Finding {
	a := &answers{Node: n, several: several, behind: behind}
	if n.Silent != nil {
		a.find("replica", a.cli("PING"), "does not answer: %v", n.Silent)
		return a.found
	}
	rules := ofAll
	if !n.Replica {
		rules = slices.Concat(ofAll, ofPrimaries)
	}
	for _, rule := range rules {
		rule(a)
	}
	return a.found
}

func (a *answers) find(name, mend, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if a.several {
		detail = a.Addr + ": " + detail
	}
	a.found = append(a.found, Finding{Name: name, Detail: detail, Mend: mend})
}

// cli is a command for this server.
func (a *answers) cli(command string) string {
	host, port, err := net.SplitHostPort(a.Addr)
	if err != nil {
		return "redis-cli " + command
	}
	return fmt.Sprintf("redis-cli -h %s -p %s %s", host, port, command)
}

// number is a fact of INFO, NaN if it is not told: every comparison with that is false.
func (a *answers) number(fact string) float64 { return numberIn(a.Info, fact) }

func (a *answers) setting(name string) float64 { return numberIn(a.Config, name) }

func numberIn(facts map[string]string, name string) float64 {
	v, err := strconv.ParseFloat(facts[name], 64)
	if err != nil || v < 0 {
		return math.NaN()
	}
	return v
}

// unread is about what the server does not tell.
func (a *answers) unread() {
	var untold []string
	for _, fact := range []string{
		"redis_version", "maxmemory", "maxmemory_policy", "aof_enabled", "role", "evicted_keys",
	} {
		if _, ok := a.Info[fact]; !ok {
			untold = append(untold, fact)
		}
	}
	switch {
	case a.InfoRefused != nil:
		a.find("cannot be read", a.cli("ACL SETUSER <user> +info"),
			"INFO is refused, so nothing is known of memory, eviction, persistence and replication: %v", a.InfoRefused)
	case len(untold) > 0:
		a.find("cannot be read", a.cli("INFO"), "INFO does not tell %s", strings.Join(untold, ", "))
	}
	if a.SettingsRefused != nil {
		a.find("cannot be read", a.cli("ACL SETUSER <user> +config|get"),
			"CONFIG GET is refused, so nothing is known of %s: %v", strings.Join(store.Settings, ", "), a.SettingsRefused)
	}
}

// version: GETEX came with 6.2.
func (a *answers) version() {
	text := a.Info["redis_version"]
	var major, minor int
	if n, _ := fmt.Sscanf(text, "%d.%d", &major, &minor); n == 2 && (major < 6 || major == 6 && minor < 2) {
		a.find("version", "install Redis 6.2 or newer", "the server is Redis %s; 6.2 is the oldest that has what is used", text)
	}
}

// state is about a server that cannot serve now.
func (a *answers) state() {
	if a.Info["loading"] == "1" {
		a.find("loading", a.cli("INFO persistence"), "the server is loading its dataset, %s s left by its own estimate, and answers no reads", a.Info["loading_eta_seconds"])
	}
	if a.Info["role"] == "slave" {
		if !a.Replica {
			a.find("replica", "connect to the primary, "+net.JoinHostPort(a.Info["master_host"], a.Info["master_port"]),
				"the client is connected to a replica: nothing can be stored or invalidated through it")
		}
		if a.Info["master_link_status"] == "down" {
			a.find("replica", a.cli("INFO replication"), "its link to the primary is down: promoted now, it would bring back entries that were invalidated since")
		}
	}
	if a.Info["rdb_last_bgsave_status"] == "err" {
		a.find("snapshot", a.cli("CONFIG SET stop-writes-on-bgsave-error no"),
			"the last snapshot failed; unless stop-writes-on-bgsave-error is off, the server refuses all writes, invalidations too")
	}
}

// latency: a read gives way after 100 ms, a script after 150 ms.
func (a *answers) latency() {
	if a.Ping >= slowTrip {
		a.find("latency", a.cli("--latency"), "the quickest of ten PINGs took %v; a read is given up after %v and a script after %v, so little is left for a busy moment",
			a.Ping.Round(time.Microsecond), store.DefaultReadBudget, store.DefaultScriptBudget)
	}
}
