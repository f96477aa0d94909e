package near_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/near"
)

const benchKeys = 10_000

// BenchmarkGet is a hit, on one goroutine and on 16.
func BenchmarkGet(b *testing.B) {
	names, gets := contestants(b)
	for _, goroutines := range []int{1, 16} {
		for _, g := range gets {
			b.Run(fmt.Sprintf("%s/%d", g.name, goroutines), func(b *testing.B) {
				b.ReportAllocs()
				if goroutines == 1 {
					for b.Loop() {
						g.batch(b, names, 1)
					}
					return
				}
				b.SetParallelism(goroutines / runtime.GOMAXPROCS(0))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						g.batch(b, names, 1)
					}
				})
			})
		}
	}
}

// BenchmarkGetRatio takes turns between the two in short rounds and compares the
// medians, so that what else the machine does falls on both.
func BenchmarkGetRatio(b *testing.B) {
	const gets = 500
	names, all := contestants(b)
	var times [2][]float64
	for b.Loop() {
		for i, g := range all {
			began := mono.Now()
			g.batch(b, names, gets)
			times[i] = append(times[i], float64(mono.Now()-began)/gets)
		}
	}
	var medians [2]float64
	for i := range times {
		slices.Sort(times[i])
		medians[i] = times[i][len(times[i])/2]
		b.ReportMetric(medians[i], all[i].name+"-ns/get")
	}
	b.ReportMetric(medians[0]/medians[1], "ratio")
	b.ReportMetric(0, "ns/op")
}

type contestant struct {
	name string
	get  func(name string) bool
}

func (c contestant) batch(b *testing.B, names []string, n int) {
	for range n {
		if !c.get(names[rand.Uint32N(benchKeys)]) {
			b.Error("missing")
		}
	}
}

// contestants returns a Space, and otter alone with the same type of key, expiry
// calculator, clock, weigher and keys.
func contestants(b *testing.B) (names []string, all []contestant) {
	b.Helper()
	_, s := open(b)
	bare := bareOtter(b)
	for i := range benchKeys {
		name := fmt.Sprintf("user:%08d", i)
		names = append(names, name)
		put(s, name, name)
		bare.Set(bareKey{1, name}, &near.Entry{Value: name, Deadline: hour()})
	}
	return names, []contestant{
		{"near", func(name string) bool { e, _ := s.Get(name); return e != nil }},
		{"otter", func(name string) bool { _, ok := bare.GetIfPresent(bareKey{1, name}); return ok }},
	}
}

// BenchmarkPut is a fill, BenchmarkDrop a message.
func BenchmarkPut(b *testing.B) {
	_, s := open(b)
	for b.Loop() {
		if !put(s, "key", "v") {
			b.Fatal("refused")
		}
	}
}

func BenchmarkDrop(b *testing.B) {
	_, s := open(b)
	for b.Loop() {
		s.Drop("key")
	}
}

type bareKey struct {
	space uint64
	name  string
}

type bareClock struct{}

func (bareClock) NowNano() int64                        { return mono.Now() }
func (bareClock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }

func bareOtter(b *testing.B) *otter.Cache[bareKey, *near.Entry] {
	c := otter.Must(&otter.Options[bareKey, *near.Entry]{
		MaximumWeight: 1 << 30,
		Weigher:       func(k bareKey, e *near.Entry) uint32 { return uint32(len(k.name)) + uint32(e.Size) + 192 },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[bareKey, *near.Entry]) time.Duration {
			return max(time.Duration(e.Value.Deadline-e.SnapshotAtNano), 1)
		}),
		Clock: bareClock{},
	})
	b.Cleanup(func() { c.StopAllGoroutines() })
	return c
}
