package main

import (
	"log"
	"os"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// connect is a client of the Redis at REDIS_URL, or of an embedded one.
func connect() (rdb *redis.Client, done func()) {
	url := os.Getenv("REDIS_URL")
	stop := func() {}
	if url == "" {
		embedded, err := miniredis.Run()
		check(err)
		url, stop = "redis://"+embedded.Addr(), embedded.Close
	}
	o, err := redis.ParseURL(url)
	check(err)
	o.ContextTimeoutEnabled = true // see cache.Tune
	rdb = redis.NewClient(o)
	return rdb, func() { _ = rdb.Close(); stop() }
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
