package near_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/near"
)

const benchKeys = 10_000

// BenchmarkGet compares a hit with otter's alone: the same type of key, expiry
// calculator, clock, weigher and keys. Compare medians of several rounds.
func BenchmarkGet(b *testing.B) {
	names := make([]string, benchKeys)
	for i := range names {
		names[i] = fmt.Sprintf("user:%08d", i)
	}
	m, s := open(b)
	bare := bareOtter(b)
	for _, name := range names {
		put(s, name, name)
		bare.Set(bareKey{1, name}, &near.Entry{Value: name, Deadline: hour()})
	}
	defer runtime.KeepAlive(m)
	gets := []struct {
		name string
		get  func(name string) bool
	}{
		{"near", func(name string) bool { e, _ := s.Get(name); return e != nil }},
		{"otter", func(name string) bool { _, ok := bare.GetIfPresent(bareKey{1, name}); return ok }},
	}
	for _, goroutines := range []int{1, 16} {
		for _, g := range gets {
			b.Run(fmt.Sprintf("%s/%d", g.name, goroutines), func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(max(goroutines/runtime.GOMAXPROCS(0), 1))
				if goroutines == 1 {
					r := rand.New(rand.NewPCG(1, 2))
					for b.Loop() {
						if !g.get(names[r.Uint32N(benchKeys)]) {
							b.Fatal("missing")
						}
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					r := rand.New(rand.NewPCG(3, 4))
					for pb.Next() {
						if !g.get(names[r.Uint32N(benchKeys)]) {
							b.Error("missing")
						}
					}
				})
			})
		}
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
