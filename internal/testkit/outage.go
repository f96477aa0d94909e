package testkit

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
	"github.com/larder-go/cache/internal/redistest"
)

// Downs are the ways in which a Redis goes away and comes back.
var Downs = []struct {
	Name       string
	Down, Back func(*redistest.Server)
}{
	{"frozen", (*redistest.Server).Pause, (*redistest.Server).Resume},
	{"killed", (*redistest.Server).Kill, (*redistest.Server).Restart},
}

// TunedClient is a client set up as the documentation asks for, and as mutate does.
func TunedClient(t testing.TB, server *redistest.Server, mutate ...func(*redis.Options)) *redis.Client {
	universal := redis.UniversalOptions{}
	cache.Tune(&universal)
	o := universal.Simple()
	set := func(c *redis.Options) {
		o.Addr, o.MaintNotificationsConfig = c.Addr, c.MaintNotificationsConfig
		*c = *o
	}
	return server.Client(t, append([]func(*redis.Options){set}, mutate...)...)
}
