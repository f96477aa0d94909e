package cache

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Timeouts for a Redis in the same data center: two orders of magnitude above a
// round trip there, and short enough that a caller who waits one out still has
// time to load. The library's own budget per command (100 ms for a read, 150 ms
// for a script) lies below them; they are the second line, for what else uses
// the client, and for connections that hang between commands.
const (
	tuneDialTimeout     = 300 * time.Millisecond
	tuneIOTimeout       = 150 * time.Millisecond
	tuneMinRetryBackoff = 5 * time.Millisecond
	tuneMaxRetryBackoff = 20 * time.Millisecond
	tuneAttempts        = 1
)

// Tune sets what a cache needs of its client, and go-redis does not default to.
// Call it before redis.NewUniversalClient. With the defaults, a command to a
// frozen Redis takes 10 s to fail and ignores its context's deadline; tuned, it
// takes a third of a second and obeys.
//
//	field                                  tuned         go-redis 9.23
//	ContextTimeoutEnabled                  true          false
//	DialTimeout                            300 ms        5 s
//	DialerRetries                          1             5 (100 ms apart)
//	ReadTimeout, WriteTimeout              150 ms        5 s
//	PoolTimeout                            150 ms        ReadTimeout + 1 s
//	MaxRetries                             1             3; per node of a cluster 0
//	MinRetryBackoff, MaxRetryBackoff       5 ms, 20 ms   10 ms, 1 s
//
// A field that is not zero is yours and stays, each for itself: ReadTimeout set
// and WriteTimeout not gives yours and 150 ms. go-redis writes "none" as -1
// (MaxRetries -1, ReadTimeout -1), which is not zero, so it stays too.
// ContextTimeoutEnabled is always set, since false cannot be told from unset;
// who wants it off clears it afterwards, and New warns. A nil o is ignored.
//
// For a cluster one thing is left to do: go-redis reloads the cluster's state
// every 60 s, so after a failover it may dial a dead primary for that long, and
// the interval is not among the universal options. Set it where they are
// converted:
//
//	o := opts.Cluster()
//	o.ClusterStateReloadInterval = time.Second
//	client := redis.NewClusterClient(o)
//
// Pools, TLS, credentials and routing are not touched. Commands that block
// (BLPOP, XREAD BLOCK) are not hurt: go-redis adds their block time to
// ReadTimeout. Commands that are slow (a SCAN with a huge COUNT, a long script)
// are: give them a client of their own.
func Tune(o *redis.UniversalOptions) {
	if o == nil {
		return
	}
	o.ContextTimeoutEnabled = true
	setIfZero(&o.DialTimeout, tuneDialTimeout)
	setIfZero(&o.ReadTimeout, tuneIOTimeout)
	setIfZero(&o.WriteTimeout, tuneIOTimeout)
	setIfZero(&o.PoolTimeout, tuneIOTimeout)
	setIfZero(&o.MinRetryBackoff, tuneMinRetryBackoff)
	setIfZero(&o.MaxRetryBackoff, tuneMaxRetryBackoff)
	setIfZero(&o.MaxRetries, tuneAttempts)
	setIfZero(&o.DialerRetries, tuneAttempts)
}

// setIfZero gives a field its value unless the caller has chosen one.
func setIfZero[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}

// WithBudgets bounds how long one exchange with Redis may take: read is for reads,
// script for everything else. What takes longer counts as a Redis that does not
// answer: the call goes on without it, and the breaker hears of it. 0 means the
// default: 100 ms for reads, 150 ms for the rest; negative is refused. The smaller
// they are, the less a Redis that hangs can delay a caller; below what Redis needs in
// its slowest moments they make loads of what were hits.
//
// Outside of them are loaders ([WithLoadTimeout]), waits for another process's load
// ([Lock]), InvalidateAll's second, and what the client needs to dial. The client's own timeouts end an exchange too: for
// budgets above those that [Tune] sets, set them higher.
func WithBudgets(read, script time.Duration) Option {
	return optionFunc(func(c *config) {
		if read < 0 {
			c.refuse("WithBudgets", fmt.Sprintf("read %v is negative", read))
		}
		if script < 0 {
			c.refuse("WithBudgets", fmt.Sprintf("script %v is negative", script))
		}
		c.budgets.ReadBudget, c.budgets.ScriptBudget = read, script
	})
}
