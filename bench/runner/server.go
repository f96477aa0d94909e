package runner

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/redistest"
)

// Server is a Redis of the parent's own, and a client to look at it.
type Server struct {
	*redistest.Process
	Admin *redis.Client
	dir   string
}

// StartServer starts a fresh redis-server, without persistence unless an option
// asks for it. The caller closes it.
func StartServer(opts ...redistest.Option) (*Server, error) {
	dir, err := os.MkdirTemp("", "larder-bench-")
	if err != nil {
		return nil, err
	}
	p, err := redistest.Start(context.Background(), dir, opts...)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Server{Process: p, Admin: p.Client(), dir: dir}, nil
}

// Close ends the server and removes its files.
func (s *Server) Close() error {
	return errors.Join(s.Admin.Close(), s.Stop(), os.RemoveAll(s.dir))
}

// Version is the server's.
func (s *Server) Version() string { return s.field("server", "redis_version") }

// Memory is what the server's data takes, in bytes.
func (s *Server) Memory() float64 { return number(s.field("memory", "used_memory")) }

func (s *Server) field(section, name string) string {
	text, err := s.Admin.Info(context.Background(), section).Result()
	if err != nil {
		return ""
	}
	return fields(text)[name]
}

// fields are the name:value lines of an INFO.
func fields(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}
