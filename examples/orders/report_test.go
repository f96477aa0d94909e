package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// phaseOf is a second on two cores with views of page 1 of the given lengths.
func phaseOf(name string, hit bool, took ...time.Duration) phase {
	p := phase{name: name, cores: 2, wall: time.Second, cpu: cpuUse{process: 1500 * ms, machine: 1700 * ms}}
	for _, d := range took {
		p.views = append(p.views, view{page: 1, hit: hit, took: d})
	}
	return p
}

func TestFiguresAreThoseOfThePage(t *testing.T) {
	p := phaseOf("x", true, 3*ms, 1*ms, 2*ms)
	p.views = append(p.views, view{page: 2, took: 100 * ms})
	p.pages = map[int]time.Duration{1: 500 * ms, 2: 1000 * ms}
	assert.Equal(t, figures{requests: 3, hits: 3, p50: 2 * ms, p99: 3 * ms, cpu: 0.25}, p.figures(1))
	assert.Equal(t, figures{requests: 1, p50: 100 * ms, p99: 100 * ms, cpu: 0.5}, p.figures(2))
	assert.Equal(t, figures{requests: 4, hits: 3, p50: 2 * ms, p99: 100 * ms, cpu: 0.75}, p.figures(0), "all")
	assert.Equal(t, figures{}, p.figures(3))
	p.pages = nil
	assert.Negative(t, p.figures(1).cpu, "not measured")
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	assert.Equal(t, time.Duration(50), percentile(hundred, 50))
	assert.Equal(t, time.Duration(99), percentile(hundred, 99))
	assert.Equal(t, time.Duration(1), percentile(hundred[:1], 99))
	assert.Equal(t, time.Duration(2), percentile(hundred[:3], 50))
	assert.Zero(t, percentile(nil, 50))
}

func TestReportIsATableWithItsConclusion(t *testing.T) {
	var out bytes.Buffer
	without, with := phaseOf("without the cache", false, 400*ms), phaseOf("with the cache", true, 500*time.Microsecond)
	without.pages = map[int]time.Duration{1: 380 * ms}
	require.NoError(t, writeReport(&out, 2, without, with))
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	assert.Equal(t, []string{
		"without the cache | with the cache |",
		"page requests hits p50 p99 CPU | requests hits p50 p99 CPU | p50 ratio",
		"1 1 0 % 400 ms 400 ms 19 % | 1 100 % 0.50 ms 0.50 ms - | 800 times",
		"2 0 - - - - | 0 - - - - | -",
		"all 1 0 % 400 ms 400 ms 19 % | 1 100 % 0.50 ms 0.50 ms - | 800 times",
		"",
		"CPU is the share of 2 cores that the page's queries took in this process.",
		"CPU without the cache: this process used 75 % of 2 cores, other processes 0.2 cores",
		"CPU with the cache: this process used 75 % of 2 cores, other processes 0.2 cores",
		"Page 1 at p50: 400 ms without the cache, 0.50 ms with it: 800 times faster.",
	}, lines)
}

func TestConclusionSaysWhyAPromiseWasMissed(t *testing.T) {
	slow, kept, missed := phaseOf("", false, 100*ms), phaseOf("", true, 2*ms), phaseOf("", true, 2*ms+1)
	assert.NotContains(t, conclusion(slow, kept), "below")
	assert.Contains(t, conclusion(slow, missed), "below the promised 50")
	assert.Contains(t, conclusion(slow, missed), "75 % of 2 cores, other processes 0.2 cores")
	assert.Contains(t, conclusion(slow, phase{}), "run for longer")
}

func TestCPULineOfASystemThatDoesNotTell(t *testing.T) {
	p := phase{cores: 2, wall: time.Second, cpu: cpuUse{process: -1, machine: -1}}
	assert.Equal(t, "not known on this system", p.cpuLine())
	p.cpu.process = time.Second
	assert.Equal(t, "this process used 50 % of 2 cores", p.cpuLine())
}
