package store_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// limited is a store of a user that may do all but what rules take away.
func limited(t *testing.T, rules ...any) (*store.Store, *redis.Client) {
	t.Helper()
	server := redistest.Single(t)
	all := server.Client(t)
	require.NoError(t, all.Do(t.Context(), append([]any{"ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all"}, rules...)...).Err())
	return open(t, server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })), all
}

// A server that does not let the scripts read the header has said nothing about what is
// there.
func TestARefusedCommandIsAnErrorAndNoForeignRecord(t *testing.T) {
	s, all := limited(t, "&*", "-getrange")
	for _, key := range []string{"k", "l"} {
		require.NoError(t, all.Set(t.Context(), key, record(envelope.Header{Kind: envelope.Value, CID: alice}, "body"), 0).Err())
	}
	for _, col := range columns() {
		_, err := col.on(t.Context(), s, "k", store.Notice{})
		require.Error(t, err, col.name)
	}
	asks := []store.Acquire{{Key: "k"}, {Key: "l"}}
	s.Acquire(t.Context(), asks, nil)
	assert.Error(t, asks[0].Err)
	assert.Error(t, asks[1].Err)
	assert.NotEqual(t, store.Foreign, asks[0].Grant.Answer)
}

// Whoever may not publish may change all the same, and the store says so once.
func TestWhatIsNotPublishedIsToldOnceAndFailsNothing(t *testing.T) {
	server := redistest.Single(t)
	require.NoError(t, server.Client(t).Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all").Err())
	client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
	var told []string
	s := openWith(t, client, store.Options{
		ReadBudget: patience, ScriptBudget: patience, Unpublished: func(code string) { told = append(told, code) },
	})
	n := store.Notice{Channel: "c", Message: "m"}
	silent := open(t, server.Client(t))
	beside := server.Client(t)
	for _, st := range states() {
		for _, col := range columns() {
			for _, key := range []string{"a/" + st.name + col.name, "b/" + st.name + col.name} {
				require.NoError(t, st.put(t.Context(), beside, key))
			}
			got, err := col.on(t.Context(), s, "a/"+st.name+col.name, n)
			require.NoError(t, err, st.name+" "+col.name)
			want, err := col.on(t.Context(), silent, "b/"+st.name+col.name, store.Notice{})
			require.NoError(t, err)
			require.Equal(t, want, got, st.name+" "+col.name)
		}
	}
	changes := []store.Change{{Key: "x", Notice: n}, {Key: "y", Notice: n}}
	s.Invalidate(t.Context(), changes)
	for _, c := range changes {
		require.NoError(t, c.Err)
		assert.Equal(t, store.ChangeNothing, c.Answer)
	}
	_, errs := s.Replace(t.Context(), []store.TokenKey{tagKey, {Key: "clear"}}, n)
	require.Equal(t, make([]error, 2), errs)
	assert.Len(t, told, 1)
	assert.Greater(t, s.Unpublished(), int64(100))
}

// Entries that live long depend on the token that they have captured, also where one
// that lives shortly captures it after them.
func TestATokenNeverLivesShorterThanItWouldHave(t *testing.T) {
	redistest.OnEach(t, mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		long, short := store.TokenKey{Key: "tag", TTL: 2880 * time.Hour}, store.TokenKey{Key: "tag", TTL: 24 * time.Hour}
		first := captured(t, s, long)
		require.Equal(t, first, captured(t, s, short))
		assert.InDelta(t, long.TTL, c.PTTL(t.Context(), "tag").Val(), float64(time.Minute))
		_, err := replace(t.Context(), s, short, store.Notice{})
		require.NoError(t, err)
		assert.InDelta(t, long.TTL, c.PTTL(t.Context(), "tag").Val(), float64(time.Minute))
		forever := captured(t, s, store.TokenKey{Key: "clear"})
		require.Equal(t, forever, captured(t, s, store.TokenKey{Key: "clear", TTL: time.Hour}))
		assert.EqualValues(t, -1, c.PTTL(t.Context(), "clear").Val())
	})
}
