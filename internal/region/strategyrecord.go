package region

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
)

// Caches of one name must agree on where the entries live: write-behind keeps
// them in partitions, the other strategies by key. A write-behind cache says so
// in a meta record; the others look for one once, with their first read.

const strategyFormat = "K1 writebehind "

// StrategyText is the meta record of a write-behind cache.
func StrategyText(partitions int) string { return fmt.Sprintf("%s%d", strategyFormat, partitions) }

// StrategyRecord is what is known of the meta record.
type StrategyRecord struct{ state atomic.Pointer[verdict] }

// verdict is final: a meta record never changes, unless Redis is emptied.
type verdict struct{ problem error }

// Known reports whether the record was read, or need not be.
func (s *StrategyRecord) Known() bool { return s.state.Load() != nil }

// Problem is why calls fail, nil if they need not.
func (s *StrategyRecord) Problem() error {
	if v := s.state.Load(); v != nil {
		return v.problem
	}
	return nil
}

// Decide notes what the meta record said to a cache without write-behind.
func (s *StrategyRecord) Decide(meta string) {
	v := &verdict{}
	if strings.HasPrefix(meta, strategyFormat) {
		v.problem = fmt.Errorf("a cache of this name writes behind (%q): its entries are kept elsewhere; use WriteBehind, or another name", meta)
	}
	s.state.CompareAndSwap(nil, v)
}

// Own says that this cache writes the record itself.
func (s *StrategyRecord) Own() { s.state.Store(&verdict{}) }

// Refuse says that another cache has written the record since.
func (s *StrategyRecord) Refuse(problem error) { s.state.Store(&verdict{problem: problem}) }

// CheckStrategy reads the meta record before a write, if no read has done so yet. A Redis
// that does not answer is no disagreement.
func (r *Region) CheckStrategy(ctx context.Context) error {
	if !r.Strategy.Known() {
		meta, err := r.Store.Meta(ctx, r.Space.Meta())
		if err == nil {
			r.Strategy.Decide(meta)
		}
	}
	return r.Strategy.Problem()
}
