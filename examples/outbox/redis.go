package main

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

// redisServer is a client and, if the example runs its own, the server.
type redisServer struct {
	client   redis.UniversalClient
	url      string               // where other processes find it
	embedded *miniredis.Miniredis // nil: not ours
	down, up func() error         // nil: it is not ours to stop
}

// openRedis connects to the Redis at url, or starts one inside this process,
// which other processes can reach too, if url is empty.
func openRedis(url string) (*redisServer, error) {
	server := &redisServer{url: url}
	if url == "" {
		if err := server.embed(); err != nil {
			return nil, fmt.Errorf("embedded Redis: %w", err)
		}
	}
	parsed, err := redis.ParseURL(server.url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	options := &redis.UniversalOptions{
		Addrs: []string{parsed.Addr}, DB: parsed.DB,
		Username: parsed.Username, Password: parsed.Password, TLSConfig: parsed.TLSConfig,
	}
	cache.Tune(options) // the time-outs that a cache needs
	server.client = redis.NewUniversalClient(options)
	return server, nil
}

// embed starts the server, which keeps its entries while it is down.
func (s *redisServer) embed() error {
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true) // else entries would never expire
	if err := mini.Start(); err != nil {
		return err
	}
	s.embedded, s.url = mini, "redis://"+mini.Addr()
	s.down = func() error { mini.Close(); return nil }
	s.up = func() error {
		mini.Ctx, mini.CtxCancel = context.WithCancel(context.Background())
		return mini.Restart()
	}
	return nil
}

// Close ends the client, and the server if it is ours.
func (s *redisServer) Close() error {
	err := s.client.Close()
	if s.embedded != nil {
		s.embedded.Close()
	}
	return err
}
