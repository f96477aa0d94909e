package near_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadingAllocatesNothing(t *testing.T) {
	_, s := open(t)
	require.True(t, put(s, "held", "v"))
	for _, name := range []string{"held", "missing"} {
		assert.Zero(t, testing.AllocsPerRun(1000, func() {
			e, now := s.Get(name)
			if (e != nil) != (name == "held") || now == 0 {
				t.Error(e, now)
			}
			if e, _ := s.GetSuspect(name); e != nil {
				t.Error(e)
			}
			_ = s.Epoch(name)
		}), name)
	}
	s.Suspect()
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if e, _ := s.GetSuspect("held"); e == nil {
			t.Error("not suspect")
		}
	}))
}
