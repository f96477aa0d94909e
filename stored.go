package cache

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/expiry"
)

// stored is an entry on its way into Redis.
type stored struct {
	class       *TTL
	stamp       stamp
	absent      bool
	version     uint64
	loadedAt    int64 // Redis time in ms; 0: unknown
	delta, ewma time.Duration
	behind      bool      // a put: Redis assigns the version
	began       time.Time // when the load began; zero: now, it was not loaded

	soft, grace time.Duration
	record      []byte // room for the header, and the body
	size        int    // encoded bytes of the value; -1: none
	lives       bool   // something was left of its life when it was sent
}

// life is the PX of the entry: Fresh runs from the start of the load, so a load
// that took longer than that leaves nothing to store, and 0 removes the record.
func (s *stored) life(now time.Time) time.Duration {
	life := expiry.AddDurations(s.soft, s.grace)
	if !s.began.IsZero() {
		life -= now.Sub(s.began)
	}
	return max(life.Truncate(time.Millisecond), 0)
}

// times is life, and how much of it the entry is fresh: below zero, it has been stale
// for so long.
func (s *stored) times(now time.Time) (soft, life time.Duration) {
	life = s.life(now)
	return life - s.grace, life
}

// encode makes the entry's record but for its header: times from its class, the value by the codec.
func (c *Cache[T]) encode(s *stored, key, redisKey string, v T) error {
	if s.loadedAt == 0 && !s.behind {
		s.loadedAt = c.store.Earliest(context.Background(), redisKey)
	}
	body := envelope.Body{
		Absent: s.absent, Codec: c.config.codecID, Schema: c.config.schema,
		LoadedAt: s.loadedAt, Delta: s.delta, EWMA: s.ewma, Clear: s.stamp.clear, Tags: s.stamp.tags,
	}
	s.size = -1
	if s.absent {
		s.soft, s.grace = s.class.Absent, 0
	} else {
		s.soft = s.class.policy().Soft(rand.Float64())
		s.grace = s.class.policy().Grace(c.config.loadTimeout, max(s.delta, s.ewma))
		if !s.behind {
			s.version = c.version(v)
		}
	}
	body.Soft, body.Grace = s.soft, s.grace
	data, crcAt, err := envelope.AppendBody(make([]byte, envelope.HeaderSize, envelope.HeaderSize+128), &body)
	if err != nil {
		return err
	}
	if !s.absent {
		head := len(data)
		if data, err = c.appendValue(data, key, v); err != nil {
			return err
		}
		s.size = len(data) - head
	}
	envelope.Seal(data[envelope.HeaderSize:], crcAt, redisKey, s.version)
	s.record = data
	return nil
}
