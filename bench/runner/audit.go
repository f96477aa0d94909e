package runner

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Audit is what Redis did between two looks at it: how often each command ran, and
// the CPU that the server used. It shows whether a row did what it claims.
type Audit struct {
	Commands map[string]int64
	CPU      float64 // seconds of the server's main thread
}

// notCounted are the commands of connections that come and go, and of the parent.
var notCounted = []string{"hello", "client", "info", "config", "ping", "command", "auth", "select"}

// Look returns the server's counters since it started.
func (s *Server) Look() (Audit, error) {
	ctx := context.Background()
	stats, err := s.Admin.Info(ctx, "commandstats").Result()
	if err != nil {
		return Audit{}, err
	}
	cpu, err := s.Admin.Info(ctx, "cpu").Result()
	if err != nil {
		return Audit{}, err
	}
	a := Audit{Commands: map[string]int64{}}
	for name, value := range fields(stats) {
		name = strings.TrimPrefix(name, "cmdstat_")
		family, _, _ := strings.Cut(name, "|")
		if slices.Contains(notCounted, family) {
			continue
		}
		calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
		a.Commands[name] = int64(number(calls))
	}
	used := fields(cpu)
	a.CPU = number(used["used_cpu_user"]) + number(used["used_cpu_sys"])
	return a, nil
}

// Since returns what came after before.
func (a Audit) Since(before Audit) Audit {
	d := Audit{Commands: map[string]int64{}, CPU: a.CPU - before.CPU}
	for name, n := range a.Commands {
		if n -= before.Commands[name]; n > 0 {
			d.Commands[name] = n
		}
	}
	return d
}

func number(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return f
}
