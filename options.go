package cache

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"reflect"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
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
	schema       uint16
	migration    any // a Migration[T]
	beta         float64
	lock         Lock
	loadTimeout  time.Duration
	loadLimit    int
	maxLoads     int
	notFound     func(error) bool
	replicaReads bool
	hooks        Hooks
	logger       *slog.Logger
	tracers      trace.TracerProvider
	meters       metric.MeterProvider
	keyAttribute func(string) string
	keyGroup     func(string) string
	entry        entryPolicy
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
		entry:       entryPolicy{class: defaultTTL, store: true},
	}
}

// isNotFound is the default of WithNotFound.
func isNotFound(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, sql.ErrNoRows)
}

// newConfig is what the arguments of New add up to, for values of type t. The error is
// all that is wrong with them.
func newConfig(client redis.UniversalClient, name string, s interface{ problem() string }, t reflect.Type, opts []Option) (config, keyspace.Space, error) {
	config := defaultConfig()
	Options(opts).apply(&config)
	space, err := keyspace.New(name)
	if err != nil {
		config.refuse("name", err.Error())
	}
	if isNil(client) {
		config.refuse("client", "is nil")
	}
	if isNil(s) {
		config.refuse("strategy", "is nil; use Aside")
	} else if problem := s.problem(); problem != "" {
		config.refuse("strategy", problem)
	}
	if !config.replicaReads && !isNil(client) && store.ReadsReplicas(client) {
		config.refuse("client", "reads from replicas; AllowReplicaReads accepts it and voids the promise of freshness")
	}
	if problem := problemOfCodec(config.codec); problem != "" {
		config.refuse("WithCodec", problem)
	} else if err := tryCodec(config.codec, reflect.Zero(t).Interface()); err != nil {
		config.refuse("WithCodec", fmt.Sprintf("the codec cannot encode %v: %v", t, err))
	}
	if len(config.problems) > 0 {
		return config, space, &OpError{Op: "new", Key: name, Err: errors.Join(config.problems...)}
	}
	config.entry.refer(space)
	config.budgets.Logger = config.logger
	return config, space, nil
}

// migrationFor is the migration of a cache of T, nil if it has none.
func migrationFor[T any](name string, given any) (Migration[T], error) {
	m, ok := given.(Migration[T])
	if given != nil && !ok {
		return nil, argError("new", name, fmt.Sprintf("WithMigration: %T is not for a cache of %v", given, reflect.TypeFor[T]()))
	}
	return m, nil
}

// telemetry is what the recorder of a cache of this name is given.
func (c *config) telemetry(name string) telemetry.Options {
	return telemetry.Options{
		Name: name, Tracers: c.tracers, Meters: c.meters, KeyAttribute: c.keyAttribute, KeyGroup: c.keyGroup,
		Logger: c.logger.With("cache", name),
		Answer: isAnswer, Failure: failure, Unasked: store.ErrOpen,
	}
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
// The default is 0. Writes that are not flushed yet ([WriteBehind]) cannot be replaced: see
// [WithMigration].
func WithSchema(n uint16) Option {
	return optionFunc(func(c *config) { c.schema = n })
}

// Migration makes a value of what a program of an older schema has put: decode decodes it
// into a pointer to the type that it was then. It is called by readers and by workers, also
// at the same time.
type Migration[T any] func(schema uint16, decode func(v any) error) (T, error)

// WithMigration reads writes of an older schema that [WriteBehind] has not flushed yet.
// Without it, or where it fails, readers load past them, and they become dead letters, which
// a program that has it can retry. T must be the cache's.
func WithMigration[T any](m Migration[T]) Option {
	return optionFunc(func(c *config) {
		if m == nil {
			c.refuse("WithMigration", "the function is nil")
			return
		}
		c.migration = m
	})
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

// lockWait is how long a caller waits for other processes.
func (c *config) lockWait() time.Duration {
	if c.lock.Wait > 0 {
		return c.lock.Wait
	}
	return c.loadTimeout
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

func (o EntryOption) apply(c *config) {
	if o.given == givenStoreIf {
		c.refuse("StoreIf", "is an option of calls, not of New")
		return
	}
	if err := c.entry.add(o); err != nil {
		c.problems = append(c.problems, err)
	}
}
