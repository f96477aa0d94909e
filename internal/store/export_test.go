package store

import (
	"context"

	"github.com/larder-go/cache/internal/conn"
)

// Learn has the store believe something of its only node.
func Learn(s *Store, l conn.Lesson) { s.conn.NodeOf(context.Background(), "").Learn(l) }
