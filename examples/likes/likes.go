package main

import (
	"database/sql"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// Likes is what is kept of a post: the running total, so that the latest value
// alone is enough, and values in between need not reach the table.
type Likes struct{ Total int64 }

// openLikes is the cache. volatile is a sentence that names what may be lost, for
// a Redis that may lose it; with "" New refuses one. A nil sink makes a process
// that puts and leaves the writing to workers.
func openLikes(rdb redis.UniversalClient, sink cache.BatchWriter[Likes], volatile string) (*cache.Cache[Likes], error) {
	return cache.New(rdb, "likes", cache.WriteBehind(sink, cache.WriteBehindOptions{
		// Three times that, and another worker takes over what a dead one held.
		SinkTimeout:    time.Second,
		AcceptVolatile: volatile,
	}))
}

// newSink writes likes to their table.
func newSink(db *sql.DB) *Sink[Likes] {
	return &Sink[Likes]{
		DB: db, Table: "larder_likes", Key: "post", Columns: []string{"total"},
		Values: func(l Likes) []any { return []any{l.Total} },
	}
}
