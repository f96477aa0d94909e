package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/larder-go/cache/internal/meter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output is what the program prints; it may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func TestPrometheusSeesWhatTheDashboardShows(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		require.Empty(t, os.Getenv("CACHE_REQUIRE_PROMTOOL"), "no prometheus on the PATH")
		t.Skip("no prometheus on the PATH: the dashboard's queries are not asked")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out output
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, settings{
			listen: "127.0.0.1:0", dashboards: "../../dashboards", scrapes: 12, until: context.WithCancel,
		}, &out)
	}()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "checked") || len(ended) > 0 },
		2*time.Minute, 100*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	t.Log(out.String())
	said := regexp.MustCompile(`checked +(\d+) alerts loaded, (\d+) of the dashboard's (\d+) queries have data`).FindStringSubmatch(out.String())
	require.Len(t, said, 4)
	assert.NotEqual(t, "0", said[1])
	assert.Equal(t, said[3], said[2], "queries without data")
	http.DefaultClient.CloseIdleConnections()
}

// The names in rules and panels are made by internal/meter. This is what the real
// exporter makes of them.
func TestTheExporterTranslatesNamesAsTheListDoes(t *testing.T) {
	telemetry, err := newTelemetry()
	require.NoError(t, err)
	defer func() { assert.NoError(t, telemetry.shutdown()) }()
	rdb, err := openRedis("")
	require.NoError(t, err)
	defer func() { assert.NoError(t, rdb.Close()) }()
	shop, err := openShop(rdb.client, telemetry.provider)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { telemetry.serve(ctx, listener) })
	running.Go(func() { shop.traffic(ctx) })
	defer func() {
		cancel()
		running.Wait()
		assert.NoError(t, shop.close())
	}()

	kinds := map[meter.Kind]string{
		meter.Counter: "counter", meter.UpDown: "gauge", meter.Gauge: "gauge", meter.Seconds: "gauge",
		meter.Durations: "histogram", meter.Sizes: "histogram",
	}
	want := map[string]string{}
	for _, i := range meter.List {
		want[i.Prometheus()] = kinds[i.Kind]
	}
	var got map[string]string
	assert.Eventually(t, func() bool {
		got = exposed(t, "http://"+listener.Addr().String()+"/metrics")
		return len(got) >= len(want)
	}, time.Minute, 200*time.Millisecond)
	assert.Equal(t, want, got)
	http.DefaultClient.CloseIdleConnections()
}

// exposed are the caches' metrics and their types.
func exposed(t *testing.T, url string) map[string]string {
	t.Helper()
	answer, err := http.Get(url) //nolint:noctx // a test's
	require.NoError(t, err)
	defer answer.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(answer.Body)
	require.NoError(t, err)
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (cache_\S+) (\S+)$`).FindAllStringSubmatch(text.String(), -1) {
		all[m[1]] = m[2]
	}
	return all
}
