package protocol_test

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// quiet drops what go-redis logs about servers that these tests stop and kill.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }
