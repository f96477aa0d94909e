package main

import (
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// redisServer is a client and, if the example runs its own, the server.
type redisServer struct {
	client   redis.UniversalClient
	embedded *miniredis.Miniredis // nil: not ours
}

// openRedis connects to the Redis at url, or starts one inside this process if
// url is empty.
func openRedis(url string) (*redisServer, error) {
	var server redisServer
	if url == "" {
		server.embedded = miniredis.NewMiniRedis()
		server.embedded.ClockTTL(true) // else entries would never expire
		if err := server.embedded.Start(); err != nil {
			return nil, fmt.Errorf("embedded Redis: %w", err)
		}
		url = "redis://" + server.embedded.Addr()
	}
	parsed, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	options := &redis.UniversalOptions{
		Addrs: []string{parsed.Addr}, DB: parsed.DB,
		Username: parsed.Username, Password: parsed.Password, TLSConfig: parsed.TLSConfig,
	}
	cache.Tune(options) // the time-outs that a cache needs
	server.client = redis.NewUniversalClient(options)
	return &server, nil
}

// Close ends the client, and the server if it is ours.
func (s *redisServer) Close() error {
	err := s.client.Close()
	if s.embedded != nil {
		s.embedded.Close()
	}
	return err
}
