package bus_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/bus"
	"github.com/larder-go/cache/internal/redistest"
)

// Why nothing is heard is known for as long as that is so.
func TestARefusedSubscriptionIsTold(t *testing.T) {
	s := redistest.Single(t)
	admin := s.Client(t)
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all").Err())
	b := open(t, s.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" }), bus.Options{})
	require.NoError(t, b.Deaf())
	e := newEar()
	m := b.Join(channel, e)
	require.Eventually(t, func() bool { return b.Deaf() != nil }, patience, time.Millisecond)
	require.ErrorContains(t, b.Deaf(), "NOPERM")
	assert.False(t, m.Up())
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "app", "&"+channel).Err())
	e.await(t, back, 1)
	assert.NoError(t, b.Deaf())
	s.Kill()
	e.await(t, lost, 1)
	assert.Error(t, b.Deaf())
}
