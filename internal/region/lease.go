package region

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/load"
	"github.com/larder-go/cache/internal/record"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// This file is what a batch asks of Redis about leases: who may load, and what others
// have made of the keys meanwhile.

// tagsOf are the tags of all keys, each once.
func tagsOf(keys []*load.Key) (all []Tag) {
	if len(keys) == 1 {
		return fillOf(keys[0]).tags
	}
	seen := map[uint64]bool{}
	for _, k := range keys {
		for _, tag := range fillOf(k).tags {
			if !seen[tag.ID] {
				seen[tag.ID] = true
				all = append(all, tag)
			}
		}
	}
	return all
}

// Acquire sends one acquire for each key, with a new token each time, and captures the
// tokens that the entries will depend on: the clear token only where no lease of it holds.
func (b *fills) Acquire(ctx context.Context, keys []*load.Key) {
	asks := make([]store.Acquire, len(keys))
	for i, k := range keys {
		f := fillOf(k)
		f.token, f.asking, f.epoch = envelope.NewToken(), b.Moment(k.Name), b.Pending.Epoch()
		asks[i] = store.Acquire{
			Key: f.redisKey, Token: f.token, Lease: load.LeaseTime, Retain: load.LeaseRetain,
			Seen: f.seen.Header.CID, Invalid: f.seen.State == record.Invalid,
		}
	}
	c := b.capture(tagsOf(keys), fillOf(keys[0]).wanted.Class)
	tokens := b.Store.Acquire(ctx, asks, c.keys)
	b.answered(ctx, keys, asks, b.captured(&c, tokens), time.Now())
}

// answered takes what acquire has answered by then.
func (b *fills) answered(ctx context.Context, keys []*load.Key, asks []store.Acquire, got Tokens, then time.Time) {
	var changed []*load.Key
	var records []store.Record
	for i, k := range keys {
		f, grant, err := fillOf(k), &asks[i].Grant, asks[i].Err
		k.Held, k.Left, k.Problem = false, grant.Left, err
		if err != nil {
			k.Answer, k.Held = load.Unanswered, !store.NotSent(err)
			continue
		}
		f.grantedAt, f.grantedBy, f.empty = grant.Now, then, grant.Answer == store.Granted
		f.stamp = got.stamp(f.tags)
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
	b.failed(telemetry.OpLoad, ErrorsOf(asks, func(a *store.Acquire) error { return a.Err })...)
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

// judge takes records that acquire or a poll answered with, and the tokens that were read
// beside them. Those that may be served are decoded: the answer is Served. Else
// it is Busy where somebody loads, Untouchable or Changed: acquire is then asked about
// that record.
func (b *fills) judge(ctx context.Context, keys []*load.Key, records []store.Record, got Tokens) {
	seen := make([]*record.Record, len(keys))
	for i, k := range keys {
		f := fillOf(k)
		f.seen = b.Judge(ctx, f.wanted.Class, f.redisKey, &records[i])
		seen[i] = &f.seen
	}
	errs := make([]error, len(keys))
	b.Verify(ctx, seen, got, errs)
	b.failed(telemetry.OpLoad, errs...)
	for i, k := range keys {
		if k.Problem = errs[i]; k.Problem != nil {
			k.Answer, k.Fallback = load.Unanswered, false // what it depends on is not known
			continue
		}
		k.Answer = b.answerOf(k)
		fillOf(k).note()
	}
}

// answerOf is what k's record, as last read, means to the batch.
func (b *fills) answerOf(k *load.Key) load.Answer {
	f := fillOf(k)
	if f.seen.State == record.Fresh && !b.Pending.Overtook(b.Space, f.seen.Body.Tags, f.epoch) {
		b.Decode(k, &f.seen)
		if f.seen.State == record.Fresh {
			return load.Served
		}
	}
	switch {
	case !f.seen.State.Replaceable():
		return load.Untouchable
	case f.seen.Header.Until != 0 && f.seen.Header.Token != envelope.NoToken:
		k.Lease = load.Lease{ID: f.seen.Header.Token, Until: f.seen.Header.Until}
		return load.Busy
	}
	return load.Changed
}

// Waiting begins the span of a wait for other processes.
func (b *fills) Waiting(ctx context.Context, keys []*load.Key) (context.Context, func()) {
	b.Telemetry.LockWaits.Add(int64(len(keys)))
	ctx, span := b.Telemetry.Start(ctx, telemetry.OpLockWait)
	return ctx, func() { b.Telemetry.End(span, nil) }
}

// Poll reads the records, and the tokens of the tags that the call names.
func (b *fills) Poll(ctx context.Context, keys []*load.Key) {
	redisKeys, tags := make([]string, len(keys)), fillOf(keys[0]).wanted.Tags // the same for all
	for i, k := range keys {
		fillOf(k).epoch = b.Pending.Epoch()
		redisKeys[i] = fillOf(k).redisKey
	}
	records, got := b.Read(ctx, redisKeys, tags)
	read, heard, errs := keys[:0:0], records[:0], make([]error, 0, len(keys))
	for i, k := range keys {
		err := records[i].Err
		if errs = append(errs, err); err != nil {
			k.Answer, k.Problem = load.Unanswered, err
			continue
		}
		read, heard = append(read, k), append(heard, records[i])
	}
	b.failed(telemetry.OpLockWait, errs...)
	if len(read) > 0 {
		b.judge(ctx, read, heard, got)
	}
}

// Renew prolongs leases.
func (b *fills) Renew(ctx context.Context, keys []*load.Key) bool {
	leases := leasesOf(keys)
	b.Store.Renew(ctx, leases, load.LeaseTime, load.LeaseRetain)
	for i := range leases {
		if leases[i].Held || leases[i].Err != nil {
			return true
		}
	}
	return false
}

// Release gives leases back, and goes on trying where Redis does not answer.
func (b *fills) Release(ctx context.Context, keys []*load.Key, backoff time.Duration) {
	leases := leasesOf(keys)
	b.Store.Release(ctx, leases, backoff)
	b.failed(telemetry.OpLoad, ErrorsOf(leases, func(l *store.Lease) error { return l.Err })...)
	for i := range leases {
		if leases[i].Err != nil {
			b.releaseLater(ctx, leases[i])
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
func (r *Region) releaseLater(ctx context.Context, lease store.Lease) {
	if !r.releases.Begin(lease.Key) {
		return
	}
	if !r.Background.Start() {
		r.releases.End()
		return
	}
	go func() {
		defer r.Background.End()
		defer r.releases.End()
		end := time.Now().Add(load.LeaseTime)
		for wait := 25 * time.Millisecond; time.Now().Before(end); wait *= 2 {
			if r.Background.Sleep(ctx, wait) != nil {
				return
			}
			again := [1]store.Lease{{Key: lease.Key, Token: lease.Token}}
			if r.Store.Release(ctx, again[:], 0); again[0].Err == nil {
				return
			}
		}
	}()
}
