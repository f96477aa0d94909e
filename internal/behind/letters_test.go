package behind_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/behind"
	"github.com/larder-go/cache/internal/redistest"
	"github.com/larder-go/cache/internal/store"
)

// W4: the link brings no more in time.
type slowLink struct{ most int64 }

var errSlow = &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}

func (slowLink) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (slowLink) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (l slowLink) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		size := int64(0)
		for _, cmd := range cmds {
			if all, ok := cmd.(*redis.SliceCmd); ok && cmd.Name() == "mget" {
				for _, v := range all.Val() {
					text, _ := v.(string)
					size += int64(len(text))
				}
			}
		}
		if size > l.most {
			for _, cmd := range cmds {
				cmd.SetErr(errSlow)
			}
			return errSlow
		}
		return err
	}
}

func TestBatchesAreBoundedByBytes(t *testing.T) {
	for name, most := range map[string]int64{"a megabyte": 1<<20 + 1<<10, "a slow link": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			c := redistest.Single(t).Client(t)
			db := newTable()
			o := quick(open(t, c), nil)
			putter := start(t, o)
			value := strings.Repeat("x", 200<<10)
			for i := range 40 {
				put(t, putter, strconv.Itoa(i), value)
			}
			c.AddHook(slowLink{most})
			o.Sink = db.write
			e := start(t, o)
			require.NoError(t, e.Flush(within(t, patience)))
			assert.Equal(t, 40, db.len())
		})
	}
}

// W4: 1,500 values of 384 KiB (a seventh of them in the short form) over a link of 125 MB/s,
// which a read of 256 of them would hold for 0.8 s. The log has how much of the link the
// worker uses.
func TestLargeValuesAreDrainedOverASlowLink(t *testing.T) {
	const size, link = 384 << 10, 125_000_000
	n := 210
	if os.Getenv("CACHE_LONG") != "" {
		n = 1500
	}
	server := redistest.Single(t)
	o := quick(open(t, server.Client(t)), nil)
	o.MaxDirty = 2000
	putter := start(t, o)
	value := strings.Repeat("x", size)
	for i := range n {
		put(t, putter, strconv.Itoa(i), value)
	}
	proxy := redistest.NewProxy(t, server.Addr())
	proxy.Limit(link)
	db := newTable()
	client := redistest.Dial(t, proxy.Addr(), func(o *redis.Options) {
		o.ReadTimeout, o.WriteTimeout = 150*time.Millisecond, 150*time.Millisecond
		o.PoolSize, o.MaxRetries = 10, -1
	})
	o.Store = store.New(client, store.Options{})
	t.Cleanup(func() { require.NoError(t, o.Store.Close()) })
	o.Sink, o.Workers = db.write, behind.DefaultWorkers
	began := time.Now()
	e := start(t, o)
	require.NoError(t, e.Flush(within(t, patience)))
	took := time.Since(began)
	assert.Equal(t, n, db.len())
	assert.Empty(t, letters(t, putter))
	atLeast := time.Duration(n) * size * time.Second / link
	t.Logf("%d values of %d KiB in %v, %.0f %% of the link", n, size>>10, took.Round(time.Millisecond), 100*atLeast.Seconds()/took.Seconds())
}

// W4: what they hold is not read with the page.
func TestLargeDeadLettersAreListed(t *testing.T) {
	const n = 20
	c := redistest.Single(t).Client(t)
	o := quick(open(t, c), func(context.Context, []behind.Mutation) error { return errNever })
	o.Judge = func(error) behind.Judgement { return behind.Permanent }
	e := start(t, o)
	for i := range n {
		put(t, e, strconv.Itoa(i), strings.Repeat("x", 400<<10))
	}
	require.NoError(t, e.Flush(within(t, patience)))
	c.AddHook(slowLink{1<<20 + 1<<10})
	all := letters(t, e)
	assert.Len(t, all, n)
	for _, l := range all {
		assert.Len(t, l.Payload, 400<<10)
	}
}

func TestDeadLettersAreRetriedAndDroppedInBulk(t *testing.T) {
	onEachSingle(t, func(t *testing.T, c redis.UniversalClient) {
		db := newTable()
		var down atomic.Bool
		down.Store(true)
		o := quick(open(t, c), func(ctx context.Context, batch []behind.Mutation) error {
			each, good := behind.BatchError{}, []behind.Mutation(nil)
			for _, m := range batch {
				if string(m.Payload) == "x" || down.Load() {
					each[m.Key] = fmt.Errorf("no %s today", m.Payload)
				} else {
					good = append(good, m)
				}
			}
			if err := db.write(ctx, good); err != nil || len(each) == 0 {
				return err
			}
			return each
		})
		o.Judge = func(error) behind.Judgement { return behind.Permanent }
		e := start(t, o)
		for i := range 100 {
			put(t, e, "x"+strconv.Itoa(i), "x")
			put(t, e, "y"+strconv.Itoa(i), "y")
		}
		require.NoError(t, e.Flush(within(t, patience)))
		down.Store(false)
		n, err := e.RetryDeadLetters(t.Context(), func(l behind.DeadLetter) bool { return l.Reason == "no y today" && l.Payload == nil })
		require.NoError(t, err)
		assert.Equal(t, 100, n)
		require.NoError(t, e.Flush(within(t, patience)))
		assert.Equal(t, 100, db.len())
		n, err = e.RetryDeadLetters(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, 100, n, "those that die again meanwhile are retried once")
		require.NoError(t, e.Flush(within(t, patience)))
		n, err = e.DropDeadLetters(t.Context(), func(l behind.DeadLetter) bool { return strings.HasSuffix(l.Key, "7") })
		require.NoError(t, err)
		assert.Equal(t, 10, n)
		assert.Len(t, letters(t, e), 90)
	})
}
