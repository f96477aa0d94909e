package cache

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is what a batch asks of Redis about leases: who may load, and what others
// have made of the keys meanwhile.

// captured are the tokens that entries depend on.
type captured struct {
	clear  envelope.Token
	tags   []tagRef
	tokens []envelope.Token
	known  bool // they could be read
}

// of are the tokens of some of the tags.
func (t *captured) of(tags []tagRef) []envelope.Token {
	if len(tags) == 0 || !t.known {
		return nil
	}
	return pick(tags, t.tags, t.tokens)
}

// Acquire sends one acquire for each key, with a new token each time, and captures the
// tokens that the entries will depend on: the clear token only where no lease of it holds.
func (b *fills[T]) Acquire(ctx context.Context, keys []*load.Key) {
	c := b.cache
	asks := make([]store.Acquire, len(keys))
	for i, k := range keys {
		f := fillOf(k)
		f.token, f.asking, f.mark = envelope.NewToken(), c.moment(k.Name), c.pending.Epoch()
		asks[i] = store.Acquire{
			Key: f.redisKey, Token: f.token, Lease: load.LeaseTime, Retain: load.LeaseRetain,
			Seen: f.seen.Header.CID, Invalid: f.seen.State == record.Invalid,
		}
	}
	got := captured{tags: tagsOf(keys), known: true}
	capture := captureKeys(got.tags, fillOf(keys[0]).entry.class)
	clear, held := c.clear.current()
	if !held {
		capture = append(capture, c.clearKey())
	}
	began := time.Now()
	tokens := c.store.Acquire(ctx, asks, capture)
	got.clear, got.tokens = clear, tokens[:len(got.tags)]
	if !held && tokens[len(got.tags)] != (envelope.Token{}) {
		got.clear = tokens[len(got.tags)]
		c.clear.learn(got.clear, began)
	}
	b.answered(ctx, keys, asks, &got)
}

// answered takes what acquire has answered.
func (b *fills[T]) answered(ctx context.Context, keys []*load.Key, asks []store.Acquire, got *captured) {
	var changed []*load.Key
	var records []store.Record
	for i, k := range keys {
		f, grant, err := fillOf(k), &asks[i].Grant, asks[i].Err
		k.Held, k.Left, k.Problem = false, grant.Left, err
		if err != nil {
			k.Answer, k.Held = load.Unanswered, !store.NotSent(err)
			continue
		}
		f.grantedAt, f.stamp = grant.Now, stampOf(got.clear, f.tags, got.of(f.tags))
		switch grant.Answer {
		case store.Granted, store.GrantedOver:
			k.Answer, k.Held = load.Granted, true
		case store.Held:
			changed, records = append(changed, k), append(records, grant.Record)
		case store.Busy:
			k.Answer = load.Busy
		case store.BackingOff:
			k.Answer = load.Resting
		default: // an open write, or a foreign record
			k.Answer = load.Untouchable
		}
	}
	b.cache.tel.redisFailed(telemetry.OpLoad, errorsOf(asks, func(a *store.Acquire) error { return a.Err })...)
	if len(changed) == 0 {
		return
	}
	b.judge(ctx, changed, records, got)
	for _, k := range changed {
		if k.Answer == load.Busy {
			k.Answer = load.Changed // acquire says for how long
		}
	}
}

// judge takes records that acquire or a poll answered with, and the tokens of tags that
// were read beside them. Those that may be served are decoded: the answer is Served. Else
// it is Busy where somebody loads, Untouchable or Changed: acquire is then asked about
// that record.
func (b *fills[T]) judge(ctx context.Context, keys []*load.Key, records []store.Record, got *captured) {
	c := b.cache
	seen := make([]*record.Record, len(keys))
	for i, k := range keys {
		f := fillOf(k)
		f.seen = c.judge(ctx, f.entry.class, f.redisKey, &records[i])
		seen[i] = &f.seen
	}
	errs := c.verifyAll(ctx, seen, got.tags, got.tokens)
	c.tel.redisFailed(telemetry.OpLoad, errs...)
	for i, k := range keys {
		if k.Problem = errs[i]; k.Problem != nil {
			k.Answer, k.Fallback = load.Unanswered, false // what it depends on is not known
			continue
		}
		k.Answer = b.answerOf(k)
		note(k)
	}
}

// answerOf is what k's record, as last read, means to the batch.
func (b *fills[T]) answerOf(k *load.Key) load.Answer {
	f := fillOf(k)
	switch {
	case b.serves(k):
		return load.Served
	case !f.seen.State.Replaceable():
		return load.Untouchable
	case f.seen.Header.Until != 0 && f.seen.Header.Token != envelope.NoToken:
		k.Lease = load.Lease{ID: f.seen.Header.Token, Until: f.seen.Header.Until}
		return load.Busy
	}
	return load.Changed
}

// serves decodes k's record, as last read, if it may be served.
func (b *fills[T]) serves(k *load.Key) bool {
	c, f := b.cache, fillOf(k)
	if f.seen.State != record.Fresh || c.pending.Overtook(c.space, f.seen.Body.Tags, f.mark) {
		return false
	}
	got, absent := answer[T]{size: -1}, error(nil)
	if err := contain(func() error { absent = c.open(k.Name, &f.seen, &got); return nil }); err != nil {
		f.seen.State = record.Invalid
	}
	if f.seen.State != record.Fresh {
		return false
	}
	k.Size, k.Err, k.Absent = got.size, absent, absent != nil
	if absent == nil {
		k.Value = got.value
	}
	return true
}

// Waiting begins the span of a wait for other processes.
func (b *fills[T]) Waiting(ctx context.Context, keys []*load.Key) (context.Context, func()) {
	tel := b.cache.tel
	tel.LockWaits.Add(int64(len(keys)))
	ctx, span := tel.Start(ctx, telemetry.OpLockWait)
	return ctx, func() { tel.End(span, nil) }
}

// Poll reads the records, and the tokens of the tags that the call names.
func (b *fills[T]) Poll(ctx context.Context, keys []*load.Key) {
	c := b.cache
	redisKeys, tags := make([]string, len(keys)), fillOf(keys[0]).entry.tags // the same for all
	for i, k := range keys {
		fillOf(k).mark = c.pending.Epoch()
		redisKeys[i] = fillOf(k).redisKey
	}
	records, tokens, missed := c.readAll(ctx, redisKeys, tags)
	read, heard, errs := keys[:0:0], records[:0], make([]error, len(keys))
	for i, k := range keys {
		if errs[i] = cmp.Or(records[i].Err, missed); errs[i] != nil {
			k.Answer = load.Unanswered
			continue
		}
		read, heard = append(read, k), append(heard, records[i])
	}
	c.tel.redisFailed(telemetry.OpLockWait, errs...)
	if len(read) > 0 {
		b.judge(ctx, read, heard, &captured{tags: tags, tokens: tokens, known: true})
	}
}

// Renew prolongs leases.
func (b *fills[T]) Renew(ctx context.Context, keys []*load.Key) bool {
	leases := leasesOf(keys)
	b.cache.store.Renew(ctx, leases, load.LeaseTime, load.LeaseRetain)
	return slices.ContainsFunc(leases, func(l store.Lease) bool { return l.Held || l.Err != nil })
}

// Release gives leases back, and goes on trying where Redis does not answer.
func (b *fills[T]) Release(ctx context.Context, keys []*load.Key, backoff time.Duration) {
	leases := leasesOf(keys)
	b.cache.store.Release(ctx, leases, backoff)
	b.cache.tel.redisFailed(telemetry.OpLoad, errorsOf(leases, func(l *store.Lease) error { return l.Err })...)
	for _, l := range leases {
		if l.Err != nil {
			b.cache.releaseLater(ctx, l)
		}
	}
}

func leasesOf(keys []*load.Key) []store.Lease {
	leases := make([]store.Lease, len(keys))
	for i, k := range keys {
		leases[i] = store.Lease{Key: fillOf(k).redisKey, Token: fillOf(k).token}
	}
	return leases
}

// releaseLater goes on trying to give back a lease in the background, for as long
// as the lease would stand: else every reader of the key waits for its end after
// an outage that was shorter. At most as many at a time as the load limit.
func (c *Cache[T]) releaseLater(ctx context.Context, l store.Lease) {
	if !c.releases.Begin(l.Key) {
		return
	}
	if !c.background.start() {
		c.releases.End()
		return
	}
	go func() {
		defer c.background.end()
		defer c.releases.End()
		end := time.Now().Add(load.LeaseTime)
		for wait := 25 * time.Millisecond; time.Now().Before(end); wait *= 2 {
			if c.sleep(ctx, wait) != nil {
				return
			}
			leases := [1]store.Lease{l}
			if c.store.Release(ctx, leases[:], 0); leases[0].Err == nil {
				return
			}
		}
	}()
}

// tagsOf are the tags of all keys, each once.
func tagsOf(keys []*load.Key) (all []tagRef) {
	if len(keys) == 1 {
		return fillOf(keys[0]).tags
	}
	seen := map[uint64]bool{}
	for _, k := range keys {
		for _, tag := range fillOf(k).tags {
			if !seen[tag.id] {
				seen[tag.id] = true
				all = append(all, tag)
			}
		}
	}
	return all
}
