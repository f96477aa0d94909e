package cache

import (
	"fmt"
	"math"
	"net"
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

// doctor looks at what one server said.
type doctor struct {
	*store.Node
	several bool // say which one
	found   []Finding
}

// examine lists the findings about one server. several says that there are others.
func examine(n *store.Node, several bool) []Finding {
	d := &doctor{Node: n, several: several}
	if d.Silent != nil {
		d.find("replica", d.cli("PING"), "does not answer: %v", d.Silent)
		return d.found
	}
	d.legible()
	d.version()
	d.state()
	d.latency()
	if d.Replica {
		return d.found
	}
	d.memory()
	d.persistence()
	d.replication()
	d.traffic()
	d.connections()
	return d.found
}

func (d *doctor) find(name, mend, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if d.several {
		detail = d.Addr + ": " + detail
	}
	d.found = append(d.found, Finding{Name: name, Detail: detail, Mend: mend})
}

// cli is a command for this server.
func (d *doctor) cli(command string) string {
	host, port, err := net.SplitHostPort(d.Addr)
	if err != nil {
		return "redis-cli " + command
	}
	return fmt.Sprintf("redis-cli -h %s -p %s %s", host, port, command)
}

// number is a fact of INFO, NaN if it is not told: every comparison with that is false.
func (d *doctor) number(fact string) float64 { return numberIn(d.Info, fact) }

func (d *doctor) setting(name string) float64 { return numberIn(d.Config, name) }

func numberIn(facts map[string]string, name string) float64 {
	v, err := strconv.ParseFloat(facts[name], 64)
	if err != nil || v < 0 {
		return math.NaN()
	}
	return v
}

// legible is about what the server does not tell.
func (d *doctor) legible() {
	var unread []string
	for _, fact := range []string{
		"redis_version", "maxmemory", "maxmemory_policy", "aof_enabled", "role", "evicted_keys",
	} {
		if _, ok := d.Info[fact]; !ok {
			unread = append(unread, fact)
		}
	}
	switch {
	case d.InfoRefused != nil:
		d.find("cannot be read", d.cli("ACL SETUSER <user> +info"),
			"INFO is refused, so nothing is known of memory, eviction, persistence and replication: %v", d.InfoRefused)
	case len(unread) > 0:
		d.find("cannot be read", d.cli("INFO"), "INFO does not tell %s", strings.Join(unread, ", "))
	}
	if d.SettingsRefused != nil {
		d.find("cannot be read", d.cli("ACL SETUSER <user> +config|get"),
			"CONFIG GET is refused, so nothing is known of %s: %v", strings.Join(store.Settings, ", "), d.SettingsRefused)
	}
}

// version: GETEX came with 6.2.
func (d *doctor) version() {
	text := d.Info["redis_version"]
	var major, minor int
	if n, _ := fmt.Sscanf(text, "%d.%d", &major, &minor); n == 2 && (major < 6 || major == 6 && minor < 2) {
		d.find("version", "install Redis 6.2 or newer", "the server is Redis %s; 6.2 is the oldest that has what is used", text)
	}
}

// state is about a server that cannot serve now.
func (d *doctor) state() {
	if d.Info["loading"] == "1" {
		d.find("loading", d.cli("INFO persistence"), "the server is loading its dataset, %s s left by its own estimate, and answers no reads", d.Info["loading_eta_seconds"])
	}
	if d.Info["role"] == "slave" {
		if !d.Replica {
			d.find("replica", "connect to the primary, "+net.JoinHostPort(d.Info["master_host"], d.Info["master_port"]),
				"the client is connected to a replica: nothing can be stored or invalidated through it")
		}
		if d.Info["master_link_status"] == "down" {
			d.find("replica", d.cli("INFO replication"), "its link to the primary is down: promoted now, it would bring back entries that were invalidated since")
		}
	}
	if d.Info["rdb_last_bgsave_status"] == "err" {
		d.find("snapshot", d.cli("CONFIG SET stop-writes-on-bgsave-error no"),
			"the last snapshot failed; unless stop-writes-on-bgsave-error is off, the server refuses all writes, invalidations too")
	}
}

// latency: a read gives way after 100 ms, a script after 150 ms.
func (d *doctor) latency() {
	if d.Ping >= slowTrip {
		d.find("latency", d.cli("--latency"), "the quickest of ten PINGs took %v; a read is given up after %v and a script after %v, so little is left for a busy moment",
			d.Ping.Round(time.Microsecond), store.DefaultReadBudget, store.DefaultScriptBudget)
	}
}
