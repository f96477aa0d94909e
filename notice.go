package cache

import "github.com/larder-go/cache/internal/store"

// What the scripts tell the L1 of other processes, on the cache's channel. A message
// that is none of these means to them that anything may have changed.
const (
	noticeKey   = "k" // and the key: it has changed
	noticeTags  = "t" // a tag has
	noticeClear = "c" // everything
	noticeProbe = "?" // and a random text: do you hear me?
)

func (c *Cache[T]) notice(key string) store.Notice {
	return store.Notice{Channel: c.channel, Message: noticeKey + key}
}

func (c *Cache[T]) noticeTags() store.Notice {
	return store.Notice{Channel: c.channel, Message: noticeTags}
}

func (c *Cache[T]) noticeClear() store.Notice {
	return store.Notice{Channel: c.channel, Message: noticeClear}
}
