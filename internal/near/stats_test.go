package near_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/mono"
	"github.com/larder-go/cache/internal/near"
)

// sum is what the spaces have together.
func sum(spaces ...*near.Space) (all near.Stats) {
	for _, s := range spaces {
		one := s.Stats()
		all.Entries += one.Entries
		all.Bytes += one.Bytes
		all.Evictions += one.Evictions
	}
	return all
}

func TestTheSpacesAddUpToTheMemory(t *testing.T) {
	m := near.New(near.Options{MaxBytes: 200_000})
	t.Cleanup(m.Close)
	a, b := serving(m), serving(m)
	for i := range 2000 {
		require.True(t, a.Put(fmt.Sprint(i%1500), &near.Entry{Size: 100, Deadline: hour()}, a.Epoch(fmt.Sprint(i%1500))))
		if i%4 == 0 {
			require.True(t, put(b, fmt.Sprint(i), i))
			b.Drop(fmt.Sprint(i - 4))
		}
		if i == 1000 {
			a.DropAll()
		}
	}
	require.Eventually(t, func() bool {
		return m.Stats() == sum(a, b) && m.Stats().Bytes <= 200_000
	}, 10*time.Second, time.Millisecond)
	assert.Positive(t, a.Stats().Evictions)
	assert.Positive(t, a.Stats().Entries)
	m.Close()
	assert.Eventually(t, func() bool { all := sum(a, b); return all.Entries == 0 && all.Bytes == 0 },
		10*time.Second, time.Millisecond, "nothing is left of what was counted")
}

func TestAnEntryThatIsReplacedOrExpiresIsNotCountedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := near.New(near.Options{MaxBytes: 1 << 20})
		defer m.Close()
		s := serving(m)
		e := near.Entry{Size: 10, Deadline: mono.Now() + int64(time.Second)}
		require.True(t, s.Put("k", &e, s.Epoch("k")))
		one, again := s.Stats(), e
		require.True(t, s.Put("k", &again, s.Epoch("k")))
		assert.Equal(t, one, s.Stats())
		assert.Equal(t, 1, one.Entries)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		assert.Equal(t, near.Stats{}, s.Stats())
	})
}
