package cache

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/internal/region"
	"github.com/larder-go/cache/internal/store"
)

// Option configures a cache in [New]. Options apply in order, and the last one
// wins. New reports all bad ones at once.
type Option interface{ apply(*config) }

// Options is several options as one: a service declares it once and gives it
// to each of its caches.
type Options []Option

func (o Options) apply(c *config) {
	for _, option := range o {
		if option == nil {
			c.refuse("Options", "holds a nil option")
			continue
		}
		option.apply(c)
	}
}

// optionFunc is an Option made of a function.
type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// config is what New's options add up to. It does not change after New.
type config struct {
	codec        Codec
	codecID      uint8
	entryCodec   EntryCodec // codec, if it is one
	clone        bool       // what the codec decodes may refer to the data
	schema       uint16
	beta         float64
	lock         Lock
	loadTimeout  time.Duration
	loadLimit    int
	maxLoads     int
	notFound     func(error) bool
	replicas     store.Replicas
	replicaReads bool
	hooks        Hooks
	logger       *slog.Logger
	tracers      trace.TracerProvider
	meters       metric.MeterProvider
	keyAttribute func(string) string
	keyGroup     func(string) string
	entry        entry
	l1           *L1
	budgets      store.Options // zero: the store's defaults
	problems     []error
}

func defaultConfig() config {
	return config{
		codec:       JSON,
		beta:        1,
		loadTimeout: 30 * time.Second,
		loadLimit:   64,
		notFound:    isNotFound,
		logger:      slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.Level(math.MaxInt)})),
		entry:       entry{class: defaultTTL, store: true},
	}
}

// isNotFound is the default of WithNotFound.
func isNotFound(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, sql.ErrNoRows)
}

// refuse notes a problem with an option; New returns all of them joined.
func (c *config) refuse(option, problem string) {
	c.problems = append(c.problems, fmt.Errorf("%s: %s", option, problem))
}

// WithCodec sets how values are encoded. The default is [JSON]. Services that
// share a name should share the codec: each would replace the other's entries.
func WithCodec(codec Codec) Option {
	return optionFunc(func(c *config) {
		if codec == nil {
			c.refuse("WithCodec", "codec is nil")
			return
		}
		c.codec = codec
	})
}

// WithSchema says which version of T's encoding this program writes and
// understands; raise it when the meaning of T's fields changes. An entry of an
// older schema is a miss and replaced; one of a newer schema is bypassed:
// loaded, and not stored, so that old and new programs can run side by side.
// The default is 0.
func WithSchema(n uint16) Option {
	return optionFunc(func(c *config) { c.schema = n })
}

// WithL1 puts l in front of Redis. See [L1]; several caches may share it.
func WithL1(l *L1) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.refuse("WithL1", "the L1 is nil")
			return
		}
		c.l1 = l
	})
}

// WithXFetch sets beta of the early refresh: above 1 refreshes earlier, below
// 1 later, 0 never. The default is 1.
func WithXFetch(beta float64) Option {
	return optionFunc(func(c *config) {
		if beta < 0 || math.IsNaN(beta) || math.IsInf(beta, 0) {
			c.refuse("WithXFetch", fmt.Sprintf("beta %v is not a finite number of at least 0", beta))
			return
		}
		c.beta = beta
	})
}

// Lock says how callers behave whose key is being loaded by another process.
// The zero value is the default.
type Lock struct {
	// Off: nobody waits for another process's load. Tokens are still taken, so
	// fills stay fenced: who finds the key taken loads without storing.
	Off bool
	// Wait is how long a caller waits for another process before it goes its
	// own way. 0 means the load timeout; negative is refused.
	Wait time.Duration
}

// WithLock sets the load lock. It is on by default.
func WithLock(l Lock) Option {
	return optionFunc(func(c *config) {
		if l.Wait < 0 {
			c.refuse("WithLock", fmt.Sprintf("Wait %v is negative", l.Wait))
			return
		}
		c.lock = l
	})
}

// WithLoadTimeout bounds each call of a loader. The default is 30 s; d must be
// positive. It is the only deadline that a load has: callers leave on their own.
func WithLoadTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d <= 0 {
			c.refuse("WithLoadTimeout", fmt.Sprintf("%v is not positive", d))
			return
		}
		c.loadTimeout = d
	})
}

// WithNotFound says which loader errors mean that the record does not exist.
// The default accepts what Is [ErrNotFound] or [sql.ErrNoRows]. On the load the
// caller gets an error that Is both the loader's and ErrNotFound; on a hit of
// the remembered absence it gets ErrNotFound alone.
func WithNotFound(is func(error) bool) Option {
	return optionFunc(func(c *config) {
		if is == nil {
			c.refuse("WithNotFound", "the function is nil")
			return
		}
		c.notFound = is
	})
}

// WithReplicaWait makes Invalidate, Delete and Update return nil only when n
// replicas have confirmed the removal within timeout (Redis WAIT): without it, a
// failover may bring a removed entry back, and with it its hard TTL of
// staleness. With fewer confirmations the error is an [*OpError] that Is
// [ErrPending]: the removal is made, and is made again until n replicas have it;
// as long as they do not, this process does not read those keys.
//
// It narrows the loss and does not exclude it: it holds only if the replica that
// is promoted is one of those that confirmed, and not for a primary that
// restarts from an old snapshot on disk. It costs one more round trip for each
// key and one for each node, which takes as long as the replicas do. n and
// timeout must be positive.
func WithReplicaWait(n int, timeout time.Duration) Option {
	return optionFunc(func(c *config) {
		if n < 1 || timeout < time.Millisecond {
			c.refuse("WithReplicaWait", fmt.Sprintf("%d replicas within %v: both must be positive", n, timeout))
			return
		}
		c.replicas = store.Replicas{N: n, Timeout: timeout}
	})
}

// AllowReplicaReads accepts a client that reads from replicas (ReadOnly,
// RouteByLatency, RouteRandomly), which New refuses otherwise: a value may then
// be served after its invalidation, for as long as the replica lags.
func AllowReplicaReads() Option {
	return optionFunc(func(c *config) { c.replicaReads = true })
}

// WithHooks sets callbacks. See [Hooks].
func WithHooks(h Hooks) Option {
	return optionFunc(func(c *config) { c.hooks = h })
}

// WithLogger sets where the cache reports what it had to absorb. The default
// discards. Keys are never logged.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.refuse("WithLogger", "logger is nil")
			return
		}
		c.logger = l
	})
}

// WithTracerProvider sets where spans go. The default is OpenTelemetry's global
// provider as it stands at each call. Which spans there are, and what they say, is in
// ARCHITECTURE.md: never a value, and keys as [WithKeyAttribute] shows them. Where
// nobody records them none is started: below a parent that does not, or without one
// and without a provider.
func WithTracerProvider(p trace.TracerProvider) Option {
	return optionFunc(func(c *config) {
		if p == nil {
			c.refuse("WithTracerProvider", "provider is nil")
			return
		}
		c.tracers = p
	})
}

// WithMeterProvider sets where metrics go. The default is OpenTelemetry's global
// provider, which may be set later than the cache is made. What is measured, under
// which names, is in ARCHITECTURE.md; keys are never part of it. Until somebody
// collects metrics, calls pay nothing for them. Close ends the cache's part of them.
func WithMeterProvider(p metric.MeterProvider) Option {
	return optionFunc(func(c *config) {
		if p == nil {
			c.refuse("WithMeterProvider", "provider is nil")
			return
		}
		c.meters = p
	})
}

// WithKeyAttribute sets what spans show as cache.key: a redacted form of the
// key, or "" to leave the key out. The default shows the key.
func WithKeyAttribute(f func(key string) string) Option {
	return optionFunc(func(c *config) {
		if f == nil {
			c.refuse("WithKeyAttribute", "the function is nil")
			return
		}
		c.keyAttribute = f
	})
}

// WithKeyGroup sets the group of a key, which spans and metrics show as
// cache.group; "" is none. The first 32 groups of a cache are told apart, all that
// come later are the group "other". f is called for each look-up, so it should be
// quick, and a part of the key costs no allocation.
func WithKeyGroup(f func(key string) string) Option {
	return optionFunc(func(c *config) {
		if f == nil {
			c.refuse("WithKeyGroup", "the function is nil")
			return
		}
		c.keyGroup = f
	})
}

// EntryOption says how an entry is kept. It is an argument of a call, or, as
// an [Option] of New, the cache's default. New's options apply first, then the
// call's.
type EntryOption struct {
	class *TTL
	tags  []string
	given entryOptionKind
	store bool
}

type entryOptionKind uint8

const (
	givenExpires entryOptionKind = iota + 1
	givenStoreIf
	givenTagged
)

func (o EntryOption) apply(c *config) {
	if o.given == givenStoreIf {
		c.refuse("StoreIf", "is an option of calls, not of New")
		return
	}
	if err := c.entry.add(o); err != nil {
		c.problems = append(c.problems, err)
	}
}

// Expires sets the expiry class; it replaces an earlier one. A nil or bad class
// is an error of New or of the call, naming the field.
func Expires(class *TTL) EntryOption {
	return EntryOption{class: class, given: givenExpires}
}

// StoreIf(false) keeps what is loaded out of the cache: a hit is still served,
// a miss takes no lease and stores nothing, and concurrent misses still share
// loads. It is known before the load (cache page 1, not page 900) and is
// refused as an option of New. Several of them are anded.
func StoreIf(ok bool) EntryOption {
	return EntryOption{store: ok, given: givenStoreIf}
}

// entry is how one call keeps its entry: New's options, then the call's.
type entry struct {
	class *TTL
	store bool
	names []string     // of the tags
	tags  []region.Tag // those of names, as the cache refers to them
}

// add applies one option. The error names the option and the field.
func (e *entry) add(o EntryOption) error {
	switch o.given {
	case givenExpires:
		if err := o.class.policy().Validate(); err != nil {
			return fmt.Errorf("Expires: %w", err)
		}
		e.class = o.class
	case givenStoreIf:
		e.store = e.store && o.store
	case givenTagged:
		return e.tag(o.tags)
	default:
		return errors.New("EntryOption: the zero value is no option; use Expires, Tagged or StoreIf")
	}
	return nil
}

// wanted is e as internal/region knows it.
func (e *entry) wanted() region.Wanted { return region.Wanted{Class: e.class.policy(), Tags: e.tags} }

// kept is how a call with these options keeps its entry.
func (c *Cache[T]) kept(opts []EntryOption) (entry, error) {
	e := c.config.entry
	tagged := false
	for i := range opts {
		if err := e.add(opts[i]); err != nil {
			return e, err
		}
		tagged = tagged || opts[i].given == givenTagged
	}
	if tagged {
		e.refer(c.region.Space)
	}
	return e, nil
}
