package agree_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/cachetest"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/testkit"
)

// healthy is how a server for a cache is set up.
func healthy(more ...redistest.Option) []redistest.Option {
	return append([]redistest.Option{
		redistest.MaxMemory(256<<20, "allkeys-lru"), redistest.Config("min-replicas-to-write", "0"),
		redistest.Config("timeout", "0"), redistest.Config("tcp-keepalive", "300"),
	}, more...)
}

func diagnosed(t *testing.T, client redis.UniversalClient) []cache.Finding {
	t.Helper()
	found, err := cache.Diagnose(t.Context(), client)
	require.NoError(t, err)
	for _, f := range found {
		assert.NotEmpty(t, f.Detail, f.Name)
		assert.NotEmpty(t, f.Mend, f.Name)
	}
	return found
}

func TestDiagnoseFindsNothingOnAHealthyServer(t *testing.T) {
	assert.Empty(t, diagnosed(t, redistest.Single(t, healthy()...).Client(t)))
	assert.Empty(t, diagnosed(t, redistest.Single(t, healthy(redistest.MaxMemory(256<<20, "volatile-lfu"))...).Client(t)))
}

// W14: what New requires of a Redis is nothing that its cache's Diagnose would change.
func TestDiagnoseOfACacheThatWritesBehind(t *testing.T) {
	server := redistest.Single(t, healthy(redistest.MaxMemory(256<<20, "noeviction"), redistest.AppendOnly("everysec"))...)
	rdb := server.Client(t)
	behind := testkit.NewBehind(t, rdb, testkit.NewLedger(), cache.WriteBehindOptions{})
	found, err := behind.Diagnose(t.Context())
	require.NoError(t, err)
	assert.Empty(t, found)
	aside, err := testkit.NewCache[string](t, rdb).Diagnose(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"eviction policy", "persistence"}, testkit.FindingNames(aside))
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	found, err = behind.Diagnose(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"eviction policy"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Mend, "volatile-lru")
	require.NoError(t, behind.Close())
	_, err = behind.Diagnose(t.Context())
	assert.ErrorIs(t, err, cache.ErrClosed)
}

func TestDiagnoseFindsWhatServersAreSetTo(t *testing.T) {
	tests := []struct {
		name         string
		with         []redistest.Option
		find, detail string
		mend         string // after redis-cli and the address
	}{
		{"no limit", []redistest.Option{redistest.MaxMemory(0, "allkeys-lru")}, "maxmemory", "there is no limit", " CONFIG SET maxmemory "},
		{"writes that fail when full", []redistest.Option{redistest.MaxMemory(256<<20, "noeviction")}, "eviction policy", "256.0 MiB", " CONFIG SET maxmemory-policy allkeys-lru"},
		{"any key", []redistest.Option{redistest.MaxMemory(256<<20, "allkeys-random")}, "eviction policy", "allkeys-random", " CONFIG SET maxmemory-policy allkeys-lru"},
		{"any key with a TTL", []redistest.Option{redistest.MaxMemory(256<<20, "volatile-random")}, "eviction policy", "volatile-random", " CONFIG SET maxmemory-policy allkeys-lru"},
		{"leases first", []redistest.Option{redistest.MaxMemory(256<<20, "volatile-ttl")}, "eviction policy", "leases", " CONFIG SET maxmemory-policy allkeys-lru"},
		{"an append-only file", []redistest.Option{redistest.AppendOnly("everysec")}, "persistence", "append-only", " CONFIG SET appendonly no"},
		{"snapshots", []redistest.Option{redistest.Config("save", "3600 1")}, "persistence", "3600 1", ` CONFIG SET save ""`},
		{"few connections", []redistest.Option{redistest.Config("maxclients", "1")}, "connections", "maxclients is 1", " CONFIG SET maxclients 2"},
		{"hanging up", []redistest.Option{redistest.Config("timeout", "20")}, "connections", "20 s", " CONFIG SET timeout 0"},
		{"no keepalive", []redistest.Option{redistest.Config("tcp-keepalive", "0")}, "connections", "tcp-keepalive is 0", " CONFIG SET tcp-keepalive 300"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := redistest.Single(t, healthy(test.with...)...).Client(t)
			found := diagnosed(t, client)
			require.Equal(t, []string{test.find}, testkit.FindingNames(found))
			assert.Contains(t, found[0].Detail, test.detail)
			assert.Contains(t, found[0].Mend, "redis-cli -h 127.0.0.1 -p ")
			assert.Contains(t, found[0].Mend, test.mend)
		})
	}
}

func TestDiagnoseFindsKeysThatAreNeverEvicted(t *testing.T) {
	client := redistest.Single(t, healthy(redistest.MaxMemory(256<<20, "volatile-lru"))...).Client(t)
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, client.Set(t.Context(), key, "v", 0).Err())
	}
	found := diagnosed(t, client)
	require.Equal(t, []string{"eviction policy"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Detail, "3 of 3 keys have no TTL")
	for i := range 3 {
		require.NoError(t, client.Set(t.Context(), string(rune('d'+i)), "v", time.Hour).Err())
	}
	assert.Empty(t, diagnosed(t, client))
}

func TestDiagnoseFindsEvictions(t *testing.T) {
	client := redistest.Single(t, healthy(redistest.MaxMemory(3<<20, "allkeys-lru"))...).Client(t)
	big := make([]byte, 100<<10)
	for i := range 50 {
		require.NoError(t, client.Set(t.Context(), string(rune('0'+i)), big, time.Hour).Err())
	}
	found := diagnosed(t, client)
	require.Equal(t, []string{"evictions"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Detail, "maxmemory 3.0 MiB")
}

func TestDiagnoseFindsFewHits(t *testing.T) {
	client := redistest.Single(t, healthy()...).Client(t)
	_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for range 11_000 {
			p.Get(t.Context(), "nothing")
		}
		return nil
	})
	require.ErrorIs(t, err, redis.Nil)
	found := diagnosed(t, client)
	require.Equal(t, []string{"hit rate"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Detail, "0 of 11000 reads")
}

func TestDiagnoseFindsASlowWay(t *testing.T) {
	link := redistest.NewProxy(t, redistest.Single(t, healthy()...).Addr())
	link.Delay(15 * time.Millisecond)
	client := redis.NewClient(&redis.Options{Addr: link.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	found := diagnosed(t, client)
	require.Equal(t, []string{"latency"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Detail, "100ms")
}

func TestDiagnoseFindsReplicas(t *testing.T) {
	primary := redistest.Single(t, healthy(redistest.Config("repl-diskless-sync-delay", "0"))...)
	_, port, err := net.SplitHostPort(primary.Addr())
	require.NoError(t, err)
	replica := redistest.Single(t, healthy(redistest.Config("replicaof", "127.0.0.1 "+port))...)
	client := primary.Client(t)
	testkit.Eventually(t, func() bool { return len(diagnosed(t, client)) > 0 }, "the replica to be there")
	found := diagnosed(t, client)
	require.Equal(t, []string{"replication"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Detail, "1 replicas")
	require.NoError(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	assert.Empty(t, diagnosed(t, client))

	wrong := replica.Client(t)
	testkit.Eventually(t, func() bool { return len(diagnosed(t, wrong)) == 1 }, "the link to be up")
	found = diagnosed(t, wrong)
	require.Equal(t, []string{"replica"}, testkit.FindingNames(found))
	assert.Equal(t, "connect to the primary, "+primary.Addr(), found[0].Mend)
	primary.Kill()
	testkit.Eventually(t, func() bool { return len(diagnosed(t, wrong)) == 2 }, "the link to be down")
	assert.Contains(t, diagnosed(t, wrong)[1].Detail, "link to the primary is down")
}

func TestDiagnoseFindsAClientThatHangs(t *testing.T) {
	server := redistest.Single(t, healthy()...)
	found := diagnosed(t, server.Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = false }))
	require.Equal(t, []string{"client"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Mend, "cache.Tune")
}

func TestDiagnoseACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, healthy()...)
	found := diagnosed(t, cluster.Client(t))
	assert.Equal(t, []string{"client", "replication", "replication", "replication"}, testkit.FindingNames(found))
	for _, f := range found[1:] {
		assert.Regexp(t, `^127.0.0.1:\d+: 1 replicas`, f.Detail)
	}
	client := cluster.Client(t, func(o *redis.ClusterOptions) { o.ClusterStateReloadInterval = time.Second })
	for _, n := range cluster.Nodes() {
		require.NoError(t, n.Client(t).ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	}
	assert.Empty(t, diagnosed(t, client))
}

func TestDiagnoseSaysWhatItCannotRead(t *testing.T) {
	server := redistest.Single(t, healthy()...)
	admin := server.Client(t)
	user := func(name, rules string) *redis.Client {
		args := []any{"acl", "setuser", name, "on", "nopass", "~*", "+@all"}
		for _, r := range []string{rules} {
			args = append(args, r)
		}
		require.NoError(t, admin.Do(t.Context(), args...).Err())
		return server.Client(t, func(o *redis.Options) { o.Username, o.Password = name, "any" })
	}
	found := diagnosed(t, user("noconfig", "-config"))
	require.Equal(t, []string{"cannot be read"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Detail, "CONFIG GET is refused")
	assert.Contains(t, found[0].Detail, "min-replicas-to-write")
	found = diagnosed(t, user("noinfo", "-info"))
	require.Equal(t, []string{"cannot be read"}, testkit.FindingNames(found))
	assert.Contains(t, found[0].Detail, "INFO is refused")

	for _, f := range diagnosed(t, cachetest.Redis(t)) {
		assert.Equal(t, "cannot be read", f.Name, f.Detail)
	}
}

func TestDiagnoseErrors(t *testing.T) {
	var failed *cache.OpError
	for _, none := range []redis.UniversalClient{nil, (*redis.Client)(nil)} {
		_, err := cache.Diagnose(t.Context(), none)
		require.ErrorAs(t, err, &failed)
		assert.ErrorContains(t, err, "client is nil")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	server := redistest.Single(t)
	_, err := cache.Diagnose(over, server.Client(t))
	assert.Equal(t, context.Canceled, err)

	client := server.Client(t, func(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 })
	server.Kill()
	_, err = cache.Diagnose(t.Context(), client)
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "diagnose", failed.Op)

	server.Restart()
	server.Pause()
	brief, done := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer done()
	_, err = cache.Diagnose(brief, client)
	assert.Equal(t, context.DeadlineExceeded, err)
}
