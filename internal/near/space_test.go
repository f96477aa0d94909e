package near_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/near"
)

func TestWhatIsPutIsThereUntilItIsDropped(t *testing.T) {
	m, s := open(t)
	other := serving(m)
	require.True(t, put(s, "k", "v"))
	require.True(t, put(other, "k", "of the other"))
	assert.Equal(t, "v", get(s, "k"))
	assert.Equal(t, "of the other", get(other, "k"))
	assert.Nil(t, get(s, "K"))
	assert.Nil(t, suspected(s, "k"), "it is not suspect")

	s.Drop("k")
	assert.Nil(t, get(s, "k"))
	require.True(t, put(s, "k", "w"))
	s.DropAll()
	assert.Nil(t, get(s, "k"))
	assert.Equal(t, "of the other", get(other, "k"))
}

// What a fill must not survive, between the moment at which it took its epoch
// and its Put.
func TestAFillIsRefusedIf(t *testing.T) {
	for name, happens := range map[string]func(*near.Space){
		"its key was dropped":                 func(s *near.Space) { s.Drop("k") },
		"all keys were dropped":               func(s *near.Space) { s.DropAll() },
		"messages are missing":                func(s *near.Space) { s.Suspect() },
		"messages were missing":               func(s *near.Space) { s.Suspect(); s.Restore() },
		"the subscription was proven anew":    func(s *near.Space) { s.Restore() },
		"its key was dropped, and put by one": func(s *near.Space) { s.Drop("k"); put(s, "k", "newer") },
	} {
		t.Run(name, func(t *testing.T) {
			_, s := open(t)
			began := s.Epoch("k")
			happens(s)
			held := get(s, "k")
			assert.False(t, s.Put("k", &near.Entry{Value: "old", Deadline: hour()}, began))
			assert.Equal(t, held, get(s, "k"))
			assert.Nil(t, suspected(s, "k"))
		})
	}
	t.Run("it took no epoch", func(t *testing.T) {
		_, s := open(t)
		assert.False(t, s.Put("k", &near.Entry{Value: "v", Deadline: hour()}, near.Epoch{}))
	})
	t.Run("the space never served", func(t *testing.T) {
		m, _ := open(t)
		assert.False(t, put(m.Space(), "k", "v"))
	})
	t.Run("the memory is closed", func(t *testing.T) {
		m, s := open(t)
		began := s.Epoch("k")
		require.True(t, put(s, "other", "v"))
		m.Close()
		m.Close()
		assert.False(t, s.Put("k", &near.Entry{Value: "old", Deadline: hour()}, began))
		assert.Nil(t, get(s, "other"))
	})
}

func TestASuspectSpaceKeepsWhatItHad(t *testing.T) {
	_, s := open(t)
	for _, k := range []string{"a", "b", "c"} {
		require.True(t, put(s, k, k))
	}
	s.Suspect()
	s.Suspect()
	assert.Nil(t, get(s, "a"))
	assert.Equal(t, "a", suspected(s, "a"))
	assert.False(t, put(s, "d", "d"))

	s.Drop("a")
	assert.Nil(t, suspected(s, "a"))
	assert.Equal(t, "b", suspected(s, "b"))
	s.DropAll()
	assert.Nil(t, suspected(s, "b"))
	assert.False(t, put(s, "d", "d"), "still suspect")

	s.Restore()
	assert.Nil(t, get(s, "c"))
	assert.Nil(t, suspected(s, "c"))
	assert.True(t, put(s, "d", "d"))
	s.Suspect()
	assert.Nil(t, suspected(s, "c"), "of a state before")
	assert.Equal(t, "d", suspected(s, "d"))
}

func TestNothingIsReturnedFromItsDeadlineOn(t *testing.T) {
	clock := newHands()
	m := near.New(near.Options{MaxBytes: 1 << 20, Now: clock.now})
	t.Cleanup(m.Close)
	s := serving(m)
	until := func(d time.Duration) *near.Entry { return &near.Entry{Value: d, Deadline: clock.now() + int64(d)} }
	require.False(t, s.Put("k", until(0), s.Epoch("k")))
	require.True(t, s.Put("k", until(time.Second), s.Epoch("k")))
	require.True(t, s.Put("k", until(time.Minute), s.Epoch("k")), "a later deadline replaces")
	require.True(t, s.Put("k", until(time.Millisecond), s.Epoch("k")), "and so does an earlier one")

	clock.move(time.Millisecond - 1)
	e, now := s.Get("k")
	require.NotNil(t, e)
	assert.Equal(t, clock.now(), now)
	s.Suspect()
	assert.NotNil(t, suspected(s, "k"))
	clock.move(1)
	assert.Nil(t, suspected(s, "k"))
	e, now = s.Get("k")
	assert.Nil(t, e)
	assert.Equal(t, clock.now(), now)
}

// The number of a name in one space may be that of another name in another space.
func TestSpacesWhoseKeysMeetDoNotShareEntries(t *testing.T) {
	hashes := map[string]uint64{"x": 1}
	m := near.New(near.Options{MaxBytes: 1 << 20, Hash: func(name string) uint64 { return hashes[name] }})
	t.Cleanup(m.Close)
	a, b := serving(m), serving(m)
	hashes["y"] = a.Key("x") ^ b.Key("") // "" has 0
	require.Equal(t, a.Key("x"), b.Key("y"))
	require.True(t, put(a, "x", 1))
	assert.Nil(t, get(b, "y"))
	hashes["x"] = hashes["y"] // also under the same name
	require.Equal(t, b.Key("x"), b.Key("y"))
	assert.Nil(t, get(b, "x"))
	require.True(t, put(b, "y", 2))
	hashes["x"] = 1
	assert.Nil(t, get(a, "x"), "its place is taken")
	assert.Equal(t, 2, get(b, "y"))
	b.Suspect()
	assert.Equal(t, 2, suspected(b, "y"))
	a.Drop("x")
	assert.Nil(t, suspected(b, "y"), "its place is emptied")
	assert.Equal(t, near.Stats{}, b.Stats())
}
