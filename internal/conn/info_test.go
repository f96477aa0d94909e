package conn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

func TestParseInfo(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string
	}{
		{"nothing", "", map[string]string{}},
		{"a heading and a fact", "# Server\r\nredis_version:7.0.15\r\n", map[string]string{"redis_version": "7.0.15"}},
		{"a value with colons", "executable:C:/redis\r\n", map[string]string{"executable": "C:/redis"}},
		{"an empty value", "redis_git_sha1:\r\n", map[string]string{"redis_git_sha1": ""}},
		{"no line end", "a:1", map[string]string{"a": "1"}},
		{"newlines alone", "a:1\nb:2\n", map[string]string{"a": "1", "b": "2"}},
		{"a heading with a colon", "# a:1\r\n", map[string]string{}},
		{"no name", ":1\r\n", map[string]string{}},
		{"no colon", "text\r\n", map[string]string{}},
		{"twice", "a:1\r\na:2\r\n", map[string]string{"a": "2"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, conn.ParseInfo(test.text)) })
	}
}

// Whatever the text: names are not empty, nothing contains a line end, and what was
// read is read again from what was written.
func FuzzParseInfo(f *testing.F) {
	for _, seed := range []string{"", "# Memory\r\nmaxmemory:0\r\n", "a:b:c\r\n", ":\r\n", "\r\r\n", "db0:keys=1,expires=0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		facts := conn.ParseInfo(text)
		var again strings.Builder
		for name, value := range facts {
			if name == "" || strings.ContainsAny(name+value, "\n") {
				t.Fatalf("%q: %q", name, value)
			}
			again.WriteString(name + ":" + value + "\r\n")
		}
		assert.Equal(t, facts, conn.ParseInfo(again.String()))
	})
}

func clusterIsSurveyed(t *testing.T, cluster *redistest.Cluster) {
	client := cluster.Client(t)
	var nodes []conn.Server
	require.Eventually(t, func() (ok bool) { // nodes list a replica once they have heard how far it is
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			require.NoError(t, client.Set(t.Context(), key, "v", 0).Err())
		}
		var err error
		nodes, err = conn.Survey(t.Context(), client)
		require.NoError(t, err)
		return len(nodes) == 6
	}, patience, 50*time.Millisecond)
	addrs, replicas := []string{}, 0
	runs := map[string]string{} // an id that each server has made up when it was started
	for _, n := range cluster.Nodes() {
		runs[n.Addr()] = conn.ParseInfo(n.Client(t).Info(t.Context(), "server").Val())["run_id"]
	}
	for _, n := range nodes {
		addrs = append(addrs, n.Addr)
		require.NotEmpty(t, n.Info["run_id"])
		assert.Equal(t, runs[n.Addr], n.Info["run_id"], "it is the answer of that server")
		assert.Positive(t, n.Ping)
		assert.Len(t, n.Config, len(conn.Settings))
		if n.Replica {
			replicas++
		}
	}
	assert.ElementsMatch(t, cluster.Addrs(), addrs)
	assert.Equal(t, 3, replicas)
}
