package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheLoadIsZipfAndBounded(t *testing.T) {
	var inFlight, most atomic.Int64
	pages := handlerOf(&countingPages{}, new(bytes.Buffer))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := inFlight.Add(1)
		defer inFlight.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		pages.ServeHTTP(w, r)
	}))
	defer server.Close()
	var progress bytes.Buffer
	d := newDriver(mix{workers: 2, pages: 5, skew: 1.3}, &cpuMeter{}, &progress)
	defer d.client.CloseIdleConnections()
	var p phase
	for length := 200 * time.Millisecond; len(p.views) < 500 && length < time.Minute; length *= 2 { // a busy machine needs longer
		var err error
		p, err = d.run(t.Context(), "a test", server.URL, 2, length)
		require.NoError(t, err)
	}

	count := map[int]int{}
	for _, v := range p.views {
		count[v.page]++
		assert.False(t, v.hit)
		assert.Positive(t, v.took)
	}
	assert.Len(t, count, 5, "every page is viewed")
	assert.Greater(t, count[1], count[2])
	assert.Greater(t, count[2], count[5])
	assert.LessOrEqual(t, most.Load(), int64(2), "each user waits for its page")
	assert.GreaterOrEqual(t, p.wall, 200*time.Millisecond)
	assert.Contains(t, progress.String(), "a test")
	assert.Contains(t, progress.String(), "views\n")
}

func TestAFailingViewEndsTheLoad(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	d := newDriver(mix{workers: 2, pages: 5, skew: 1.3}, &cpuMeter{}, new(bytes.Buffer))
	defer d.client.CloseIdleConnections()
	_, err := d.run(t.Context(), "a test", server.URL, 2, time.Hour)
	require.ErrorContains(t, err, "404 Not Found")
}

func TestABadMixIsRefused(t *testing.T) {
	require.NoError(t, mix{workers: 1, pages: 1, skew: 1.1}.validate())
	for _, m := range []mix{{0, 1, 2}, {1, 0, 2}, {1, 1, 1}, {1, lastPage + 1, 2}} {
		assert.Error(t, m.validate(), "%+v", m)
	}
}

func TestTheMeasurementEndsWithTheTable(t *testing.T) {
	repo := newRepository(t, "", corner)
	repo.meter = &cpuMeter{}
	cached, silent := newCachedPages(t, repo), new(bytes.Buffer)
	m := measurement{
		length: 300 * time.Millisecond, cache: cached.pages,
		driver: newDriver(mix{workers: 2, pages: 5, skew: 1.3}, repo.meter, silent),
		plain:  handlerOf(repo, silent), cached: handlerOf(cached, silent),
	}
	var out bytes.Buffer
	require.NoError(t, m.run(t.Context(), &out))
	assert.Contains(t, out.String(), "p50 ratio")
	assert.Contains(t, out.String(), "Page 1 at p50")
	assert.Contains(t, out.String(), "Counted by the cache")
	assert.Equal(t, 100*time.Millisecond, m.plainLength())
	assert.Equal(t, 10*time.Second, (&measurement{length: 30 * time.Second}).plainLength())
	assert.Equal(t, 10*time.Second, (&measurement{length: time.Minute}).plainLength())
}
