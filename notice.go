package cache

import "github.com/larder-go/cache/internal/store"

// What the scripts tell the L1 of other processes, on the cache's channel: which
// key has changed, or that anything may have.
const (
	noticeKey = "k" // and the key
	noticeAny = "*"
)

func (c *Cache[T]) notice(key string) store.Notice {
	return store.Notice{Channel: c.channel, Message: noticeKey + key}
}

// noticeAll tells of a tag, or of the whole cache.
func (c *Cache[T]) noticeAll() store.Notice {
	return store.Notice{Channel: c.channel, Message: noticeAny}
}

// noticeOf is notice of each of keys.
func (c *Cache[T]) noticeOf(keys []string) func(i int) store.Notice {
	return func(i int) store.Notice { return c.notice(keys[i]) }
}
