package region

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/larder-go/cache/internal/mono"
)

// Caches of one name must agree on where the entries live: write-behind keeps
// them in partitions, the other strategies by key. A write-behind cache says so
// in a meta record; the others look for one with their first read, and again every ten
// seconds.

const (
	strategyFormat = "K1 writebehind "

	// StrategyRetired is the meta record of a name that does not write behind any more.
	StrategyRetired = "K1 retired"

	strategyAge = 10 * time.Second
)

// StrategyText is the meta record of a write-behind cache.
func StrategyText(partitions int) string { return fmt.Sprintf("%s%d", strategyFormat, partitions) }

// StrategyRecord is what is known of the meta record.
type StrategyRecord struct{ state atomic.Pointer[verdict] }

// verdict is what the meta record said.
type verdict struct {
	problem error
	final   bool         // it is this cache's own to look at
	asked   atomic.Int64 // when somebody last did, by mono
}

// Known reports whether the record was read, or need not be.
func (s *StrategyRecord) Known() bool { return s.state.Load() != nil }

// due reports whether the caller is to read the record: as long as nothing is known each is,
// and then one every ten seconds.
func (s *StrategyRecord) due() bool {
	v := s.state.Load()
	if v == nil {
		return true
	}
	last, now := v.asked.Load(), mono.Now()
	return !v.final && now-last > int64(strategyAge) && v.asked.CompareAndSwap(last, now)
}

// Problem is why calls fail, nil if they need not.
func (s *StrategyRecord) Problem() error {
	if v := s.state.Load(); v != nil {
		return v.problem
	}
	return nil
}

// Decide notes what the meta record said to a cache without write-behind, and returns
// whether that is another thing than it was.
func (s *StrategyRecord) Decide(meta string) (changed bool) {
	v, was := &verdict{}, s.state.Load()
	v.asked.Store(mono.Now())
	if strings.HasPrefix(meta, strategyFormat) {
		v.problem = fmt.Errorf("a cache of this name writes behind (%q): its entries are kept elsewhere; use WriteBehind, or another name", meta)
	}
	if was != nil && was.final || !s.state.CompareAndSwap(was, v) {
		return false
	}
	return (v.problem != nil) != (was != nil && was.problem != nil)
}

// Own says that this cache writes the record itself.
func (s *StrategyRecord) Own() { s.state.Store(&verdict{final: true}) }

// Refuse says that another cache has written the record since.
func (s *StrategyRecord) Refuse(problem error) {
	s.state.Store(&verdict{problem: problem, final: true})
}

// decide notes what the meta record said, and tells the log what begins or ends with that.
func (r *Region) decide(meta string) {
	switch changed := r.Strategy.Decide(meta); {
	case changed && r.Strategy.Problem() != nil:
		r.Logger.Warn("a cache of this name writes behind: nothing is read or written here, and values are loaded past Redis",
			"mend", "use WriteBehind, or another name, or retire write-behind (RetireWriteBehind)")
	case changed:
		r.Logger.Info("no cache of this name writes behind any more")
	}
}

// CheckStrategy reads the meta record before a write, if it is due. A Redis
// that does not answer is no disagreement.
func (r *Region) CheckStrategy(ctx context.Context) error {
	if r.Strategy.due() {
		meta, err := r.Store.Meta(ctx, r.Space.Meta())
		if err == nil {
			r.decide(meta)
		}
	}
	return r.Strategy.Problem()
}
