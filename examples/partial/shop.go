package main

import (
	"context"
	"fmt"
	"sync"
)

// shop stands for the system of record: three tables of products, which become
// dearer at some time.
type shop struct {
	mu      sync.Mutex
	dearer  bool
	queries map[string]int
}

func (s *shop) setDearer(dearer bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dearer = dearer
}

// asked is how often each table was, since the last time.
func (s *shop) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer clear(s.queries)
	return fmt.Sprintf("queries: details %d, prices %d, stock %d", s.queries["details"], s.queries["prices"], s.queries["stock"])
}

// query answers one that asks a table for the rows of several products.
func query[T any](s *shop, table string, ids []string, row func(id string) T) (map[string]T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries[table]++
	rows := map[string]T{}
	for _, id := range ids {
		rows[id] = row(id)
	}
	return rows, nil
}

func (s *shop) findDetails(_ context.Context, ids []string) (map[string]details, error) {
	return query(s, "details", ids, func(id string) details { return details{"lamp " + id, "It is bright."} })
}

func (s *shop) findPrices(_ context.Context, ids []string) (map[string]int, error) {
	return query(s, "prices", ids, func(string) int {
		if s.dearer {
			return 1100
		}
		return 1000
	})
}

func (s *shop) findStock(_ context.Context, ids []string) (map[string]int, error) {
	return query(s, "stock", ids, func(string) int { return 20 })
}
