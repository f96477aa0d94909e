package near_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/near"
)

func TestTheBudgetHolds(t *testing.T) {
	const budget, size, n = 1 << 20, 1000, 5000
	m := near.New(near.Options{MaxBytes: budget})
	t.Cleanup(m.Close)
	a, b := serving(m), serving(m)
	for i := range n {
		s := a
		if i%2 == 0 {
			s = b
		}
		name := fmt.Sprintf("%016d", i)
		require.True(t, s.Put(name, &near.Entry{Value: i, Size: size, Deadline: hour()}, s.Epoch(name)))
	}
	require.Eventually(t, func() bool {
		s := m.Stats()
		return s.Bytes <= budget && s.Entries+int(s.Evictions) == n && s.Bytes%int64(s.Entries) == 0
	}, 10*time.Second, time.Millisecond)
	s := m.Stats()
	assert.Greater(t, s.Bytes/int64(s.Entries), int64(size+16), "each weighs its value, its key and its upkeep")
	assert.Greater(t, s.Bytes, int64(budget/2), "the budget is used")
}

func TestWhatIsLargerThanTheBudgetIsNotStored(t *testing.T) {
	m := near.New(near.Options{MaxBytes: 10_000})
	t.Cleanup(m.Close)
	s := serving(m)
	require.True(t, put(s, "small", 1))
	large := near.Entry{Value: 2, Size: 10_000, Deadline: hour()}
	assert.False(t, s.Put("large", &large, s.Epoch("large")))
	large.Size = -1
	assert.False(t, s.Put(strings.Repeat("k", 10_000), &large, s.Epoch("large")))
	assert.Equal(t, 1, get(s, "small"))
	assert.Zero(t, m.Stats().Evictions)

	none := near.New(near.Options{})
	t.Cleanup(none.Close)
	assert.False(t, put(serving(none), "k", "v"))
}

// What is dropped as a whole is not walked: its room comes back at its deadline.
// The bubble shows that the memory needs nothing but the bubble's clock.
func TestRoomComesBackAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := near.New(near.Options{MaxBytes: 1 << 20})
		defer m.Close()
		s := serving(m)
		for i := range 100 {
			name := fmt.Sprint(i)
			e := near.Entry{Value: i, Deadline: mono.Now() + int64(2*time.Second)}
			require.True(t, s.Put(name, &e, s.Epoch(name)))
		}
		s.DropAll()
		synctest.Wait()
		assert.Equal(t, 100, m.Stats().Entries)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		assert.Equal(t, near.Stats{}, m.Stats(), "no evictions: nothing had to make room")
		require.True(t, s.Put("k", &near.Entry{Value: 1, Deadline: mono.Now() + int64(time.Second)}, s.Epoch("k")))
		time.Sleep(time.Second - 1)
		assert.Equal(t, 1, get(s, "k"))
		time.Sleep(time.Nanosecond)
		assert.Nil(t, get(s, "k"))
	})
}

// The fixed part of the weight is measured, not guessed.
func TestUpkeepIsWhatAnEntryCosts(t *testing.T) {
	const n = 50_000
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%016d", i)
	}
	m, s := open(t)
	before := heap()
	for _, name := range names {
		put(s, name, nil)
	}
	got := (float64(heap()) - float64(before)) / n
	weight := float64(m.Stats().Bytes)/n - 16
	t.Logf("an entry costs %.0f bytes beside key and value, and weighs %.0f", got, weight)
	assert.InDelta(t, weight, got, weight/2)
	runtime.KeepAlive(m)
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
