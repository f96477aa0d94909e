package telemetry_test

import (
	"maps"
	"time"

	"github.com/larder-go/cache"
)

// with is attributes and more.
func with(base map[string]any, more map[string]any) map[string]any {
	all := map[string]any{}
	maps.Copy(all, base)
	maps.Copy(all, more)
	return all
}

func staleWhileRevalidate(class *cache.TTL) { class.StaleWhileRevalidate = time.Minute }
func staleIfError(class *cache.TTL)         { class.StaleIfError = time.Minute }
