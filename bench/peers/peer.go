// Package peers puts the libraries that are compared behind one face, each in its
// own file, used as its documentation says. A row that cannot do what a scenario
// asks is left out of it, with the reason.
package peers

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/larder-go/cache/bench/work"
)

// Peer is one way of getting documents. Get finds key's document in the cache or
// loads and stores it, and copies it to into; it may be called concurrently.
type Peer interface {
	Get(ctx context.Context, key string, into *work.Doc) error
	Close() error
}

// Many is what rows are that get several documents in one call, those that are not
// cached from [Env.LoadMany].
type Many interface {
	GetMany(ctx context.Context, keys []string) (map[string]work.Doc, error)
}

// Env is what a row is opened with.
type Env struct {
	Addr string      // of the Redis
	Load work.Loader // the source
	// LoadMany is the source of several documents at once.
	LoadMany func(ctx context.Context, keys []string) (map[string]work.Doc, error)
	Fresh    time.Duration // how long entries live; zero: an hour
	// Tuned clients have the timeouts that a cache needs, for the scenarios in which
	// Redis fails; the others run on go-redis' defaults.
	Tuned   bool
	Tracers trace.TracerProvider // for our own rows only; nil: none
	Meters  metric.MeterProvider // nil: none
	Breaker func(open bool)      // the same: told when it changes
}

func (e Env) fresh() time.Duration {
	if e.Fresh == 0 {
		return time.Hour
	}
	return e.Fresh
}

// client returns the go-redis client of all rows that use one: the default pool
// and timeouts.
func (e Env) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     e.Addr,
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Row is one line of the tables.
type Row struct {
	Name  string // unique, short
	About string // codec and tiers
	Kind  Kind
	Open  func(Env) (Peer, error)
}

// Kind says what a row stands for.
type Kind string

// The kinds of rows.
const (
	Floor Kind = "floor" // what the others are measured against
	Ours  Kind = "ours"
	Other Kind = "peer"
)

// Absent is a library that has no row.
type Absent struct{ Name, Reason string }
