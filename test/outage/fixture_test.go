package outage_test

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/larder-go/cache"
)

const (
	// patience is how long a test waits for what must happen at all.
	patience = time.Minute
	tick     = time.Millisecond
)

// logLines is what was logged.
type logLines struct {
	mu   sync.Mutex // protects following
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// option is what makes a cache write here.
func (l *logLines) option() cache.Option {
	return cache.WithLogger(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// with are the lines that contain text.
func (l *logLines) with(text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}
