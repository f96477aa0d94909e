package diagnose

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// This file is what there is to say of memory, disks, replicas and connections.

// memory is about its limit, and what happens there.
func (a *answers) memory() {
	limit, used := a.number("maxmemory"), a.number("used_memory")
	policy := a.Info["maxmemory_policy"]
	switch {
	case limit == 0:
		a.find("maxmemory", a.cli("CONFIG SET maxmemory "+a.sensible()),
			"there is no limit: Redis holds %s, and grows until the machine ends it", size(used))
	case limit > 0:
		a.policy(limit, policy)
	}
	if evicted := a.number("evicted_keys"); evicted > 0 {
		a.find("evictions", a.cli(fmt.Sprintf("CONFIG SET maxmemory %.0f", 2*limit)),
			"%.0f keys were evicted in %s, with maxmemory %s and policy %s: entries end before their TTL, and a lease that is evicted allows a second load",
			evicted, a.uptime(), size(limit), policy)
	}
	if ratio := a.number("mem_fragmentation_ratio"); ratio > fragmented && used > muchMemory {
		a.find("fragmentation", a.cli("CONFIG SET activedefrag yes"),
			"%s are used and %s resident, %.2f times as much", size(used), size(a.number("used_memory_rss")), ratio)
	}
}

// policy is what is given up at the limit.
func (a *answers) policy(limit float64, policy string) {
	mend := a.cli("CONFIG SET maxmemory-policy allkeys-lru")
	keys, expiring := a.keys()
	if a.behind {
		mend = a.cli("CONFIG SET maxmemory-policy volatile-lru")
	}
	switch {
	case a.behind && strings.HasPrefix(policy, "allkeys-"):
		a.find("eviction policy", mend,
			"the policy is %s: at %s unflushed writes of WriteBehind are evicted, and lost", policy, size(limit))
	case a.behind && policy == "noeviction": // a put that finds no room is refused, and nothing is lost
	case policy == "noeviction":
		a.find("eviction policy", mend,
			"maxmemory is %s and the policy noeviction: when it is reached nothing is stored any more, and write intents fail", size(limit))
	case strings.HasSuffix(policy, "-random"):
		a.find("eviction policy", mend,
			"the policy is %s: at %s the hottest entry goes as soon as the coldest, and leases with them", policy, size(limit))
	case policy == "volatile-ttl":
		a.find("eviction policy", mend,
			"the policy is volatile-ttl: at %s what ends first goes first, which is leases and write intents", size(limit))
	case strings.HasPrefix(policy, "volatile-") && keys > 0 && expiring < keys/2:
		a.find("eviction policy", mend,
			"the policy is %s, and %.0f of %.0f keys have no TTL and are never evicted: at %s writes may fail", policy, keys-expiring, keys, size(limit))
	}
}

// keys counts all keys of the server, and those with a TTL.
func (a *answers) keys() (all, expiring float64) {
	for name, value := range a.Info {
		if !strings.HasPrefix(name, "db") {
			continue
		}
		if _, err := strconv.Atoi(name[2:]); err != nil {
			continue
		}
		facts := map[string]string{}
		for field := range strings.SplitSeq(value, ",") {
			if at := strings.IndexByte(field, '=') + 1; at > 0 {
				facts[field[:at]] = field[at:]
			}
		}
		k, e := numberIn(facts, "keys="), numberIn(facts, "expires=")
		if k >= e { // false if one of them is not told
			all, expiring = all+k, expiring+e
		}
	}
	return all, expiring
}

// sensible is three quarters of the machine's memory.
func (a *answers) sensible() string {
	if total := a.number("total_system_memory"); total > 0 {
		return fmt.Sprintf("%.0fmb", total/4*3/(1<<20))
	}
	return "1gb"
}

// persistence is about entries that come back.
func (a *answers) persistence() {
	if a.behind {
		a.durability()
		return
	}
	const why = "after a restart entries come back that were invalidated after the disk had them; a server that is only a cache should start empty, unless WriteBehind keeps its writes there"
	if a.Info["aof_enabled"] == "1" {
		a.find("persistence", a.cli("CONFIG SET appendonly no"), "the append-only file is on: what it lost at a crash may be an invalidation; %s", why)
	}
	if save := a.Config["save"]; save != "" {
		a.find("persistence", a.cli(`CONFIG SET save ""`), "snapshots are on (save %s): %s", save, why)
	}
}

// durability is about unflushed writes that a restart loses.
func (a *answers) durability() {
	mend := a.cli("CONFIG SET appendonly yes")
	switch save := a.Config["save"]; {
	case a.Info["aof_enabled"] != "0":
	case save != "":
		a.find("persistence", mend, "the append-only file is off, and snapshots (save %s) lose what was put since the last one: WriteBehind loses acknowledged writes at a restart", save)
	default:
		a.find("persistence", mend, "nothing is kept over a restart: WriteBehind loses all acknowledged writes that are not flushed")
	}
}

// replication is about what a failover brings back.
func (a *answers) replication() {
	if replicas := a.number("connected_slaves"); replicas > 0 && a.setting("min-replicas-to-write") == 0 {
		a.find("replication", a.cli("CONFIG SET min-replicas-to-write 1"),
			"%.0f replicas follow asynchronously and min-replicas-to-write is 0: a failover may bring back what was invalidated shortly before; with it, and min-replicas-max-lag 1, no more than that of the last second or two, since a primary without replicas then refuses changes, which wait in the queue",
			replicas)
	}
}

// traffic is about look-ups that find nothing.
func (a *answers) traffic() {
	hits, misses := a.number("keyspace_hits"), a.number("keyspace_misses")
	if all := hits + misses; all >= enoughReads && hits < fewHits*all {
		a.find("hit rate", "fmt.Println(c.Explain(ctx, key)) // of a key that should be a hit",
			"%.0f of %.0f reads of this server in %s found a key, %.0f %%", hits, all, a.uptime(), 100*hits/all)
	}
}

// connections is about their number, and when they end.
func (a *answers) connections() {
	most := a.setting("maxclients")
	if !(most > 0) {
		most = a.number("maxclients")
	}
	if now := a.number("connected_clients"); now >= crowded*most {
		a.find("connections", a.cli(fmt.Sprintf("CONFIG SET maxclients %.0f", 2*most)),
			"%.0f clients are connected, and maxclients is %.0f", now, most)
	}
	if refused := a.number("rejected_connections"); refused > 0 {
		a.find("connections", a.cli(fmt.Sprintf("CONFIG SET maxclients %.0f", 2*most)),
			"%.0f connections were refused in %s, and maxclients is %.0f", refused, a.uptime(), most)
	}
	if after := a.setting("timeout"); after > 0 && after < shortTimeout {
		a.find("connections", a.cli("CONFIG SET timeout 0"),
			"the server hangs up after %.0f s of silence, so a command may have to connect first", after)
	}
	if a.setting("tcp-keepalive") == 0 {
		a.find("connections", a.cli("CONFIG SET tcp-keepalive 300"), "tcp-keepalive is 0: connections of clients that are gone are kept for ever, and count")
	}
}

func (a *answers) uptime() string {
	s := a.number("uptime_in_seconds")
	if !(s >= 0) {
		return "unknown time"
	}
	return (time.Duration(s) * time.Second).String()
}

// size is a number of bytes in words.
func size(bytes float64) string {
	switch {
	case !(bytes >= 0):
		return "an unknown number of bytes"
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", bytes/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", bytes/(1<<20))
	}
	return fmt.Sprintf("%.0f bytes", bytes)
}
