package region

import (
	"context"
	"time"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/pending"
	"github.com/larder-go/cache/internal/store"
	"github.com/larder-go/cache/internal/telemetry"
)

// Intent is a write intent that is held around a write.
type Intent struct {
	Stamp Stamp // captured with it, if the write is to be stored

	region   *Region
	key      string
	redisKey string
	token    envelope.Token
	unsent   bool // it is certainly not there
}

// Intend opens a write intent of key, which holds for that long, and captures the tokens
// of what is to be stored, if something is: before the write is committed (model variant
// 55a). Open is one of the store's Intent… values.
func (r *Region) Intend(ctx context.Context, key string, holds time.Duration, kept *Wanted) (i *Intent, open int, err error) {
	i = &Intent{region: r, key: key, redisKey: r.RedisKey(key), token: envelope.NewToken()}
	open, err = i.begin(ctx, holds, kept)
	i.unsent = err != nil && store.NotSent(err)
	return i, open, err
}

func (i *Intent) begin(ctx context.Context, holds time.Duration, kept *Wanted) (open int, _ error) {
	r := i.region
	intents := [1]store.Intent{{Key: i.redisKey, Token: i.token, Notice: r.Notice(i.key)}}
	if kept == nil {
		r.Store.BeginWrite(ctx, intents[:], holds, nil)
		return intents[0].Open, intents[0].Err
	}
	c := r.capture(kept.Tags, kept.Class)
	tokens := r.Store.BeginWrite(ctx, intents[:], holds, c.keys)
	if err := intents[0].Err; err != nil {
		return 0, err
	}
	got := r.captured(&c, tokens)
	i.Stamp = got.stamp(kept.Tags)
	return intents[0].Open, nil
}

// Sent reports whether the intent may be there.
func (i *Intent) Sent() bool { return !i.unsent }

// Close ends the intent and detaches the key's flights. With an entry, it is
// stored if no other write overlapped. The write has been made, or may have
// been: ctx's end no longer matters, and an intent that could not be closed is
// an invalidation to be queued. One that was never opened is closed all the
// same: that removes whatever the key holds, as an invalidation does.
func (i *Intent) Close(ctx context.Context, entry *Entry) error {
	r := i.region
	ctx = Removal(ctx)
	ends := [1]store.EndWrite{{Key: i.redisKey, Token: i.token, Notice: r.Notice(i.key)}}
	if entry != nil {
		end := &ends[0]
		end.Soft, end.TTL = entry.Times(entry.Began)
		end.Version, end.Record = entry.Version, entry.record
	}
	r.Store.EndWrite(ctx, ends[:])
	err := ends[0].Err
	if err != nil {
		r.failed(telemetry.OpPut, err)
		err = r.Owe(pending.Target{Name: i.key}, err, i.open()...)
	}
	r.Changed(i.key)
	return err
}

// Leave lets the intent stand until its deadline, as that of a writer that died: whether the
// write was made is not known. It detaches the key's flights.
func (i *Intent) Leave() { i.region.Changed(i.key) }

// open are the intents that the queue has to end: none where none was sent, or each
// write of an outage would leave one there.
func (i *Intent) open() []envelope.Token {
	if i.unsent {
		return nil
	}
	return []envelope.Token{i.token}
}
