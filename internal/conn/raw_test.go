package conn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/redistest"
)

func TestARawReadTellsWhatIsUnderTheKeyAndNotForHowLong(t *testing.T) {
	redistest.OnEach(t, redistest.Mini, func(t *testing.T, c *redis.Client) {
		s := open(t, c)
		conn.TellTime(s)
		ctx := t.Context()
		require.NoError(t, c.Set(ctx, "timed", "a\x00\r\nb", time.Hour).Err())
		require.NoError(t, c.Set(ctx, "empty", "", 0).Err())
		require.NoError(t, c.Set(ctx, "large", strings.Repeat("x", 1<<20), 0).Err())
		require.NoError(t, c.HSet(ctx, "hash", "f", "v").Err())
		for name, want := range map[string]string{"timed": "a\x00\r\nb", "empty": "", "missing": "", "large": strings.Repeat("x", 1<<20)} {
			rec, err := read(ctx, s, name)
			require.NoError(t, err, name)
			assert.Equal(t, want, string(rec.Data), name)
			assert.EqualValues(t, -1, rec.PTTL, name)
			assert.False(t, rec.Foreign, name)
			rec.Release()
		}
		rec, err := read(ctx, s, "hash")
		require.NoError(t, err)
		assert.True(t, rec.Foreign)
		assert.Nil(t, rec.Data)
		together, err := readAll(ctx, s, "timed", "missing", "empty", "hash")
		require.NoError(t, err)
		assert.Equal(t, "a\x00\r\nb", string(together[0].Data))
		for _, none := range together[1:] {
			assert.Nil(t, none.Data)
		}
	})
}

func TestARawReadIsOnePlainCommand(t *testing.T) {
	s, p, beside := patient(t)
	conn.TellTime(s)
	ctx := t.Context()
	require.NoError(t, beside.Set(ctx, "k", "value", time.Hour).Err())
	_, err := read(ctx, s, "k")
	require.NoError(t, err)
	p.Reset()
	_, err = read(ctx, s, "k")
	require.NoError(t, err)
	_, err = readAll(ctx, s, "k", "l", "m")
	require.NoError(t, err)
	assert.EqualValues(t, 2, p.Exchanges())
	assert.EqualValues(t, 2, p.Commands())
	assert.EqualValues(t, 1, p.CommandsNamed("get"))
	assert.EqualValues(t, 1, p.CommandsNamed("mget"))
}

// rawReadsHeld is readsHeld for raw reads.
func rawReadsHeld(t *testing.T, s *conn.Client, p *redistest.Proxy) (release func()) {
	t.Helper()
	return keepOut(t, p, conn.ReadsOut, func(key string) error { _, err := read(context.Background(), s, key); return err })
}

// Readers of a batch share one MGET, and each has its own record, also when its
// neighbours have released theirs and the buffer serves another batch.
func TestReadersOfRawReadsShareOneMGET(t *testing.T) {
	s, p, beside := patient(t)
	conn.TellTime(s)
	ctx := t.Context()
	value := func(i int) string { return fmt.Sprint("value ", i, strings.Repeat(".", 37*i)) }
	for i := range 50 {
		require.NoError(t, beside.Set(ctx, fmt.Sprint(i), value(i), time.Minute).Err())
	}
	require.NoError(t, beside.HSet(ctx, "hash", "f", "v").Err())
	release := rawReadsHeld(t, s, p)
	p.Reset()
	var readers sync.WaitGroup
	for i := range 200 { // four for each key
		readers.Go(func() {
			rec, err := read(ctx, s, fmt.Sprint(i%50))
			assert.NoError(t, err)
			assert.Equal(t, value(i%50), string(rec.Data))
			rec.Release()
		})
	}
	readers.Go(func() {
		rec, err := read(ctx, s, "hash")
		assert.NoError(t, err)
		assert.Equal(t, conn.Value{PTTL: -1}, rec.Unreleased(), "MGET does not tell a hash from nothing")
	})
	readers.Go(func() {
		records := s.Read(ctx, []string{"7"}, []string{"nothing", "8"})
		assert.NoError(t, errors.Join(errorsOf(records)...))
		assert.Equal(t, value(7), string(records[0].Data))
		assert.Nil(t, records[1].Data)
		assert.Equal(t, value(8), string(records[2].Data))
	})
	require.Eventually(t, func() bool { return conn.Collecting(s) == 204 }, patience, time.Millisecond)
	release()
	readers.Wait()
	assert.EqualValues(t, 1, p.CommandsNamed("mget"))
	assert.EqualValues(t, 1, p.Exchanges())
}

func TestReleasedBuffersAreNotSeenByOtherReaders(t *testing.T) {
	s := open(t, redistest.Single(t).Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true }))
	ctx := t.Context()
	value := func(i int) string { return strings.Repeat(string(rune('a'+i)), 500*(i+1)) }
	for i := range 20 {
		require.NoError(t, put(ctx, s, fmt.Sprint(i), []byte(value(i))))
	}
	var readers sync.WaitGroup
	for g := range 64 {
		readers.Go(func() {
			for round := range 100 {
				i := (g*7 + round) % 20
				rec, err := read(ctx, s, fmt.Sprint(i))
				if !assert.NoError(t, err) || !assert.True(t, bytes.HasSuffix(rec.Data, []byte(value(i))), "reader %d of %d", g, i) {
					return
				}
				rec.Release()
			}
		})
	}
	readers.Wait()
}

func TestRawReadsGoOnWhereTheServerRefusesMGET(t *testing.T) {
	server := redistest.Single(t)
	admin := server.Client(t)
	ctx := t.Context()
	require.NoError(t, admin.Do(ctx, "acl", "setuser", "reader", "on", "nopass", "~*", "+@all", "-mget").Err())
	require.NoError(t, admin.Set(ctx, "k", "value", 0).Err())
	s := open(t, server.Client(t, func(o *redis.Options) { o.Username, o.Password = "reader", "any" }))
	conn.TellTime(s)
	for range 3 {
		records, err := readAll(ctx, s, "k", "nothing")
		require.NoError(t, err)
		assert.Equal(t, "value", string(records[0].Data))
		assert.Nil(t, records[1].Data)
	}
}

// go-redis does not repeat a command whose reply is taken raw; a connection that a
// restarted server has closed must not become an error of the reader.
func TestRawReadsOverConnectionsThatARestartHasClosed(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	s := open(t, client)
	ctx := t.Context()
	_, err := read(ctx, s, "k")
	require.NoError(t, err)
	server.Kill()
	server.Restart()
	_, err = read(ctx, s, "k")
	require.NoError(t, err)
	_, err = readAll(ctx, s, "k", "l")
	require.NoError(t, err)
}

func TestServerErrorsOfRawReadsAreReturned(t *testing.T) {
	m := redistest.Mini(t)
	s := open(t, redistest.Dial(t, m.Addr(), func(o *redis.Options) { o.MaxRetries = -1 }))
	conn.TellTime(s)
	m.SetError("LOADING Redis is loading the dataset in memory")
	_, err := read(t.Context(), s, "k")
	require.ErrorContains(t, err, "LOADING")
	assert.True(t, conn.Infrastructure(err))
	_, err = readAll(t.Context(), s, "k", "l")
	require.ErrorContains(t, err, "LOADING")
}

func TestARawReadAllocatesLittleMoreThanABareGET(t *testing.T) {
	c := redistest.Single(t).Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	s := open(t, c)
	ctx := t.Context()
	require.NoError(t, c.Set(ctx, "k", strings.Repeat("v", 1000), time.Hour).Err())
	conn.TellTime(s)
	bare := testing.AllocsPerRun(500, func() { _ = c.Get(ctx, "k").Err() })
	peek := testing.AllocsPerRun(500, func() { rec, _ := read(ctx, s, "k"); rec.Release() })
	t.Log("bare", bare, "peek", peek)
	assert.LessOrEqual(t, peek, bare+5)
}
