package diagnose_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/diagnose"
	"github.com/larder-go/cache/internal/store"
)

// wellInfo is INFO of a server that nothing is wrong with, cut to what is looked at.
const wellInfo = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:7200\r\n\r\n# Clients\r\nconnected_clients:10\r\nmaxclients:10000\r\n" +
	"# Memory\r\nused_memory:209715200\r\nused_memory_rss:230000000\r\nmaxmemory:1073741824\r\nmaxmemory_policy:allkeys-lfu\r\n" +
	"total_system_memory:4294967296\r\nmem_fragmentation_ratio:1.10\r\n# Persistence\r\nloading:0\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\n" +
	"# Stats\r\nrejected_connections:0\r\nevicted_keys:0\r\nkeyspace_hits:9000000\r\nkeyspace_misses:100000\r\n" +
	"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n# Keyspace\r\ndb0:keys=100,expires=90,avg_ttl=1000\r\n"

// well is a server that nothing is wrong with, but for lines added to its INFO.
func well(lines string) *store.Node {
	return &store.Node{
		Addr: "10.0.0.1:6379", Info: store.ParseInfo(wellInfo + lines), Ping: time.Millisecond,
		Config: map[string]string{"save": "", "timeout": "0", "tcp-keepalive": "300", "min-replicas-to-write": "0", "maxclients": "10000"},
	}
}

func TestFindingsFromWhatAServerSays(t *testing.T) {
	const cli = "redis-cli -h 10.0.0.1 -p 6379 "
	tests := []struct {
		name, info string
		want       []diagnose.Finding
	}{
		{"nothing", "", nil},
		{"an old server", "redis_version:6.0.16\r\n", []diagnose.Finding{{
			"version", "the server is Redis 6.0.16; 6.2 is the oldest that has what is used", "install Redis 6.2 or newer",
		}}},
		{"the oldest that will do", "redis_version:6.2.0\r\n", nil},
		{"a version of two digits", "redis_version:10.1\r\n", nil},
		{"a version that is none", "redis_version:unstable\r\n", nil},
		{"no limit of memory", "maxmemory:0\r\n", []diagnose.Finding{{
			"maxmemory", "there is no limit: Redis holds 200.0 MiB, and grows until the machine ends it", cli + "CONFIG SET maxmemory 3072mb",
		}}},
		{"evictions", "evicted_keys:12\r\n", []diagnose.Finding{{
			"evictions", "12 keys were evicted in 2h0m0s, with maxmemory 1.0 GiB and policy allkeys-lfu: entries end before their TTL, and a lease that is evicted allows a second load",
			cli + "CONFIG SET maxmemory 2147483648",
		}}},
		{"fragmentation", "mem_fragmentation_ratio:1.72\r\nused_memory_rss:360710144\r\n", []diagnose.Finding{{
			"fragmentation", "200.0 MiB are used and 344.0 MiB resident, 1.72 times as much", cli + "CONFIG SET activedefrag yes",
		}}},
		{"fragmentation of little", "mem_fragmentation_ratio:9.5\r\nused_memory:1000000\r\n", nil},
		{"loading", "loading:1\r\nloading_eta_seconds:17\r\n", []diagnose.Finding{{
			"loading", "the server is loading its dataset, 17 s left by its own estimate, and answers no reads", cli + "INFO persistence",
		}}},
		{"a snapshot that failed", "rdb_last_bgsave_status:err\r\n", []diagnose.Finding{{
			"snapshot", "the last snapshot failed; unless stop-writes-on-bgsave-error is off, the server refuses all writes, invalidations too",
			cli + "CONFIG SET stop-writes-on-bgsave-error no",
		}}},
		{"refused connections", "rejected_connections:3\r\n", []diagnose.Finding{{
			"connections", "3 connections were refused in 2h0m0s, and maxclients is 10000", cli + "CONFIG SET maxclients 20000",
		}}},
		{"few reads, all misses", "keyspace_hits:0\r\nkeyspace_misses:9999\r\n", nil},
		{"many keys without a TTL, under allkeys", "db1:keys=1000000,expires=0,avg_ttl=0\r\n", nil},
		{"many keys without a TTL", "maxmemory_policy:volatile-lru\r\ndb1:keys=900,expires=0,avg_ttl=0\r\n", []diagnose.Finding{{
			"eviction policy", "the policy is volatile-lru, and 910 of 1000 keys have no TTL and are never evicted: at 1.0 GiB writes may fail",
			cli + "CONFIG SET maxmemory-policy allkeys-lru",
		}}},
		{"figures that are none", "maxmemory:much\r\nevicted_keys:\r\nkeyspace_hits:-5\r\ndb0:keys\r\ndbx:1\r\nmem_fragmentation_ratio:nan\r\nmaxclients:x\r\n", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, diagnose.Examine(well(test.info), false, false))
		})
	}
}

// W14: nothing that a cache which writes behind needs is found wrong, and what it must not
// have is.
func TestFindingsWhereACacheWritesBehind(t *testing.T) {
	const cli = "redis-cli -h 10.0.0.1 -p 6379 "
	for name, test := range map[string]struct {
		info, save string
		want       []diagnose.Finding
	}{
		"as it must be":             {"maxmemory_policy:noeviction\r\naof_enabled:1\r\n", "3600 1", nil},
		"volatile keys are evicted": {"maxmemory_policy:volatile-lru\r\naof_enabled:1\r\n", "", nil},
		"any key is evicted": {"maxmemory_policy:allkeys-lru\r\naof_enabled:1\r\n", "", []diagnose.Finding{{
			"eviction policy", "the policy is allkeys-lru: at 1.0 GiB unflushed writes of WriteBehind are evicted, and lost",
			cli + "CONFIG SET maxmemory-policy volatile-lru",
		}}},
		"snapshots alone": {"maxmemory_policy:noeviction\r\n", "3600 1", []diagnose.Finding{{
			"persistence", "the append-only file is off, and snapshots (save 3600 1) lose what was put since the last one: WriteBehind loses acknowledged writes at a restart",
			cli + "CONFIG SET appendonly yes",
		}}},
		"nothing is kept": {"maxmemory_policy:noeviction\r\n", "", []diagnose.Finding{{
			"persistence", "nothing is kept over a restart: WriteBehind loses all acknowledged writes that are not flushed",
			cli + "CONFIG SET appendonly yes",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			n := well(test.info)
			n.Config["save"] = test.save
			assert.Equal(t, test.want, diagnose.Examine(n, false, true))
		})
	}
}

func TestFindingsNameTheServerWhereThereAreSeveral(t *testing.T) {
	n := well("maxmemory:0\r\n")
	found := diagnose.Examine(n, true, false)
	require.Len(t, found, 1)
	assert.Contains(t, found[0].Detail, "10.0.0.1:6379: there is no limit")
	n.Addr = ""
	assert.Equal(t, "redis-cli CONFIG SET maxmemory 3072mb", diagnose.Examine(n, false, false)[0].Mend)
}

func names(found []diagnose.Finding) (all []string) {
	for _, f := range found {
		all = append(all, f.Name)
	}
	return all
}

// A replica is judged by what will matter when it is promoted.
func TestFindingsAboutAReplica(t *testing.T) {
	n := well("role:slave\r\nmaxmemory:0\r\nevicted_keys:5\r\nmaster_link_status:down\r\n")
	n.Replica = true
	assert.Equal(t, []string{"replica"}, names(diagnose.Examine(n, true, false)))
	assert.Equal(t, []diagnose.Finding{{"replica", "10.0.0.1:6379: does not answer: gone", "redis-cli -h 10.0.0.1 -p 6379 PING"}},
		diagnose.Examine(&store.Node{Addr: n.Addr, Replica: true, Silent: errors.New("gone")}, true, false))
}

// What is not told is said, and nothing is made up about it.
func TestNothingIsConcludedFromSilence(t *testing.T) {
	refused := errors.New("NOPERM")
	found := diagnose.Examine(&store.Node{InfoRefused: refused, SettingsRefused: refused}, false, false)
	assert.Equal(t, []string{"cannot be read", "cannot be read"}, names(found))
	for name := range store.ParseInfo(wellInfo) {
		n := well("")
		n.Info = maps.Clone(n.Info)
		delete(n.Info, name)
		for _, f := range diagnose.Examine(n, false, false) {
			assert.Equal(t, "cannot be read", f.Name, "without %s: %s", name, f.Detail)
		}
	}
}
