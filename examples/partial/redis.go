package main

import (
	"log"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// connect is a client of the Redis at REDIS_URL, or of an embedded one, whose
// entries grow older only while wait waits.
func connect() (rdb *redis.Client, wait func(time.Duration), done func()) {
	url := os.Getenv("REDIS_URL")
	stop := func() {}
	wait = time.Sleep
	if url == "" {
		embedded, err := miniredis.Run()
		check(err)
		url, stop = "redis://"+embedded.Addr(), embedded.Close
		wait = func(d time.Duration) { time.Sleep(d); embedded.FastForward(d) }
	}
	o, err := redis.ParseURL(url)
	check(err)
	o.ContextTimeoutEnabled = true // see cache.Tune
	rdb = redis.NewClient(o)
	return rdb, wait, func() { _ = rdb.Close(); stop() }
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
