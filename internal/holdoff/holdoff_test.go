package holdoff_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/holdoff"
)

func TestAKeyIsHeldOffUntilItsTime(t *testing.T) {
	h := holdoff.New()
	assert.Zero(t, h.Until("a"))
	h.Drop("a")
	h.Set("a", 7)
	h.Set("b", 8)
	assert.Equal(t, int64(7), h.Until("a"))
	h.Set("a", 9)
	assert.Equal(t, int64(9), h.Until("a"))
	h.Drop("a")
	assert.Zero(t, h.Until("a"))
	assert.Equal(t, int64(8), h.Until("b"))
}

func TestTheLatestKeysAreRemembered(t *testing.T) {
	const all, remembered = 200_000, 1 << 15
	h := holdoff.New()
	for i := range all {
		h.Set(strconv.Itoa(i), int64(i+1))
	}
	for i := all - remembered; i < all; i++ {
		assert.Equal(t, int64(i+1), h.Until(strconv.Itoa(i)))
	}
	assert.Zero(t, h.Until("0"))
	h.Set("0", 5)
	assert.Equal(t, int64(5), h.Until("0"), "again")
	h.Drop(strconv.Itoa(all - remembered))
	assert.Zero(t, h.Until(strconv.Itoa(all-remembered)), "also of the older generation")
}

// The memory does not grow with the number of keys.
func TestFourMillionKeysTakeAFewMegabytes(t *testing.T) {
	const most = 8 << 20
	before := heap()
	h := holdoff.New()
	for i := range 4_000_000 {
		h.Set(strconv.Itoa(i), int64(i+1))
	}
	took := heap() - before
	t.Logf("%d bytes", took)
	assert.Less(t, took, int64(most))
	runtime.KeepAlive(h)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
