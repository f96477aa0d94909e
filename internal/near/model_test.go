package near_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/larder-go/cache/internal/near"
)

// model is the memory as a map: what each space holds, and what each fill that is
// under way may still do.
type model struct {
	clock  *hands
	memory *near.Memory
	spaces []*modelSpace
	fills  []*modelFill
	drops  int // of keys, in all spaces
	values int
	names  []string
	rivals map[string]string // the name that has the same hash
}

type modelSpace struct {
	real    *near.Space
	suspect bool
	held    map[string]modelEntry
}

type modelEntry struct {
	value    int
	deadline int64
}

type modelFill struct {
	space *modelSpace
	name  string
	began near.Epoch
	drops int  // of any key, when it began: keys may share a stripe
	dead  bool // its key was dropped, or its space was or is suspect
}

func TestTheMemoryIsAMapThatRefusesLateFills(t *testing.T) {
	holdsForModel(t, nil, nil)
}

// Who has the hash of another name takes its place, and is never taken for it.
func TestNamesOfOneHashAreNotTakenForEachOther(t *testing.T) {
	hash := func(name string) uint64 { return uint64(len(name) / 2) }
	holdsForModel(t, hash, map[string]string{"": "a", "a": ""})
	holdsForModel(t, func(string) uint64 { return 0 }, map[string]string{"": "b", "b": ""}, "", "b")
}

func holdsForModel(t *testing.T, hash func(string) uint64, rivals map[string]string, names ...string) {
	if names == nil {
		names = []string{"", "a", "b1", "ключ"}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := &model{clock: newHands(), rivals: rivals, names: names}
		m.memory = near.New(near.Options{MaxBytes: 1 << 30, Now: m.clock.now, Hash: hash})
		defer m.memory.Close()
		for range 2 {
			m.spaces = append(m.spaces, &modelSpace{real: m.memory.Space(), suspect: true, held: map[string]modelEntry{}})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"begin":   m.begin,
			"put":     m.put,
			"drop":    m.drop,
			"dropAll": m.dropAll,
			"suspect": m.suspected,
			"restore": m.restore,
			"wait":    m.wait,
		})
	})
}

func (m *model) space(t *rapid.T) *modelSpace { return rapid.SampledFrom(m.spaces).Draw(t, "space") }

func (m *model) name(t *rapid.T) string { return rapid.SampledFrom(m.names).Draw(t, "key") }

func (m *model) begin(t *rapid.T) {
	f := &modelFill{space: m.space(t), name: m.name(t), drops: m.drops}
	f.began, f.dead = f.space.real.Epoch(f.name), f.space.suspect
	m.fills = append(m.fills, f)
}

func (m *model) put(t *rapid.T) {
	if len(m.fills) == 0 {
		t.Skip("no fill is under way")
	}
	f := rapid.SampledFrom(m.fills).Draw(t, "fill")
	m.values++
	e := modelEntry{m.values, m.clock.now() + int64(rapid.IntRange(0, 5).Draw(t, "seconds"))*int64(time.Second)}
	stored := f.space.real.Put(f.name, &near.Entry{Value: e.value, Deadline: e.deadline}, f.began)
	may := !f.dead && e.deadline > m.clock.now()
	switch {
	case stored && !may:
		t.Fatalf("stored %q, which was overtaken", f.name)
	case !stored && may && f.drops == m.drops:
		t.Fatalf("refused %q, though nothing was dropped", f.name)
	case stored:
		m.oust(f.space, f.name)
		f.space.held[f.name] = e
	}
}

// kill ends the fills of a space for which it holds.
func (m *model) kill(s *modelSpace, which func(*modelFill) bool) {
	for _, f := range m.fills {
		if f.space == s && which(f) {
			f.dead = true
		}
	}
}

// oust removes the name that has the hash of name.
func (m *model) oust(s *modelSpace, name string) {
	if rival, ok := m.rivals[name]; ok {
		delete(s.held, rival)
	}
}

func (m *model) drop(t *rapid.T) {
	s, name := m.space(t), m.name(t)
	s.real.Drop(name)
	m.drops++
	delete(s.held, name)
	m.oust(s, name)
	m.kill(s, func(f *modelFill) bool { return f.name == name })
}

func (m *model) dropAll(t *rapid.T) {
	s := m.space(t)
	s.real.DropAll()
	clear(s.held)
	m.kill(s, func(*modelFill) bool { return true })
}

func (m *model) suspected(t *rapid.T) {
	s := m.space(t)
	s.real.Suspect()
	s.suspect = true
	m.kill(s, func(*modelFill) bool { return true })
}

func (m *model) restore(t *rapid.T) {
	s := m.space(t)
	s.real.Restore()
	s.suspect = false
	clear(s.held)
	m.kill(s, func(*modelFill) bool { return true })
}

func (m *model) wait(t *rapid.T) {
	m.clock.move(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
}

// check compares every key of every space.
func (m *model) check(t *rapid.T) {
	for _, s := range m.spaces {
		for _, name := range m.names {
			var fresh, suspect any
			if e, ok := s.held[name]; ok && e.deadline > m.clock.now() {
				if s.suspect {
					suspect = e.value
				} else {
					fresh = e.value
				}
			}
			if v := get(s.real, name); v != fresh {
				t.Fatalf("Get(%q) is %v, not %v", name, v, fresh)
			}
			if v := suspected(s.real, name); v != suspect {
				t.Fatalf("GetSuspect(%q) is %v, not %v", name, v, suspect)
			}
		}
	}
}
