package envelope_test

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/larder-go/cache/internal/envelope"
)

// meaning is what one golden record says.
type meaning struct {
	key     string
	header  envelope.Header
	body    envelope.Body
	err     error
	intents int
}

const (
	goldenKey      = "users:42"
	goldenDirtyKey = "{users!3}v42"
	goldenNow      = 1763712000123
)

var (
	goldenT1 = token("Qk3_0aB1cD2eF3gH")
	goldenT2 = token("zZ9-M_-xYw8Vu7Ts")
	goldenC1 = token("0641f3a5c2b1e7Rx")
	goldenC2 = token("0641f3a5c2b1f0y_")
)

// golden is what the files of testdata mean, by name.
var golden = map[string]meaning{
	"v1-lease.hex": {
		header: goldenHeader(envelope.Lease, goldenNow+3000, goldenT1, envelope.NoToken, 0),
		err:    envelope.ErrNoBody,
	},
	"v1-backoff.hex": {
		header: goldenHeader(envelope.Backoff, goldenNow+250, envelope.NoToken, envelope.NoToken, 0),
		err:    envelope.ErrNoBody,
	},
	"v1-intent.hex": {
		header:  goldenHeader(envelope.Intent, goldenNow+10_000, envelope.NoToken, envelope.NoToken, 0),
		err:     envelope.ErrNoBody,
		intents: 1,
	},
	"v1-intent-conflict.hex": {
		header:  conflicting(goldenHeader(envelope.Intent, goldenNow+10_000, envelope.NoToken, envelope.NoToken, 0)),
		err:     envelope.ErrNoBody,
		intents: 2,
	},
	"v1-value.hex": {
		key:    goldenKey,
		header: fresh(goldenHeader(envelope.Value, 0, envelope.NoToken, goldenT1, 0), goldenNow+58_200),
		body:   goldenBody(),
	},
	"v1-value-refreshing.hex": {
		key:    goldenKey,
		header: fresh(goldenHeader(envelope.Value, goldenNow+3000, goldenT2, goldenT1, 0), goldenNow+58_200),
		body:   goldenBody(),
	},
	"v1-value-backing-off.hex": {
		key:    goldenKey,
		header: fresh(goldenHeader(envelope.Value, goldenNow+100, envelope.NoToken, goldenT1, 0), goldenNow+58_200),
		body:   goldenBody(),
	},
	"v1-value-versioned.hex": {
		key:    goldenKey,
		header: fresh(goldenHeader(envelope.Value, 0, envelope.NoToken, goldenT1, 0x0123456789abcdef), goldenNow+58_200),
		body:   goldenBody(),
	},
	"v1-value-tagged.hex": {
		key:    goldenKey,
		header: fresh(goldenHeader(envelope.Value, 0, envelope.NoToken, goldenT1, 0), goldenNow+58_200),
		body: tagged(
			goldenBody(),
			envelope.Tag{ID: 0xef46db3751d8e999, Token: goldenC1},
			envelope.Tag{ID: 7, Token: goldenC2},
		),
	},
	"v1-value-absent.hex": {
		key:    goldenKey,
		header: fresh(goldenHeader(envelope.Value, 0, envelope.NoToken, goldenT1, 0), goldenNow+5000),
		body:   absent(goldenBody()),
	},
	"v1-value-minimal.hex": {
		key:    "n:",
		header: goldenHeader(envelope.Value, 0, envelope.NoToken, goldenT1, 0),
		body:   envelope.Body{Clear: envelope.NoToken},
	},
	"v1-value-extreme.hex": {
		key:    "n%21:\xff\x00\n{}",
		header: fresh(goldenHeader(envelope.Value, 9_999_999_999_999, goldenT2, goldenT1, math.MaxUint64), 9_999_999_999_999),
		body:   extremeBody(),
	},
	"v1-value-proof.hex": {
		key:    goldenKey,
		header: fresh(goldenHeader(envelope.Value, 0, envelope.NoToken, goldenT1, 0), goldenNow+5000),
		body:   proven(absent(goldenBody())),
	},
	"v1-dirty.hex": {
		key:    goldenDirtyKey,
		header: goldenHeader(envelope.Dirty, 0, envelope.NoToken, envelope.NoToken, 1763712000123456),
		body:   put(goldenBody()),
	},
	"v1-dirty-tombstone.hex": {
		key:    goldenDirtyKey,
		header: goldenHeader(envelope.Dirty, 0, envelope.NoToken, envelope.NoToken, 1763712000123457),
		body:   put(absent(goldenBody())),
	},
	"v1-dirty-acknowledged.hex": {
		key:    goldenDirtyKey,
		header: goldenHeader(envelope.Value, 0, envelope.NoToken, envelope.NoToken, 1763712000123456),
		body:   put(goldenBody()),
	},
}

func goldenHeader(k envelope.Kind, until int64, tok, cid envelope.Token, v uint64) envelope.Header {
	return envelope.Header{Kind: k, Until: until, Token: tok, CID: cid, Version: v}
}

func fresh(h envelope.Header, until int64) envelope.Header {
	h.Fresh = until
	return h
}

func conflicting(h envelope.Header) envelope.Header {
	h.Conflict = true
	return h
}

func goldenBody() envelope.Body {
	return envelope.Body{
		Codec:    1,
		Schema:   3,
		LoadedAt: goldenNow,
		Delta:    12345 * time.Microsecond,
		EWMA:     11 * time.Millisecond,
		Soft:     58200 * time.Millisecond,
		Grace:    time.Minute,
		Clear:    goldenC1,
		Payload:  []byte(`{"id":42}`),
	}
}

func tagged(b envelope.Body, tags ...envelope.Tag) envelope.Body {
	for _, tag := range tags {
		b.Tags = envelope.AppendTag(b.Tags, tag)
	}
	return b
}

func absent(b envelope.Body) envelope.Body {
	b.Absent, b.Soft, b.Grace, b.Payload = true, 5*time.Second, 0, nil
	return b
}

func proven(b envelope.Body) envelope.Body {
	b.Proof = []byte("sixteen bytes...")
	return b
}

// put is the body of a write-behind put: no load precedes it.
func put(b envelope.Body) envelope.Body {
	b.LoadedAt, b.Delta, b.EWMA = 0, 0, 0
	return b
}

// extremeBody has each field at its end of the range, and each byte once.
func extremeBody() envelope.Body {
	b := envelope.Body{
		Codec:    math.MaxUint8,
		Schema:   math.MaxUint16,
		LoadedAt: math.MaxInt64,
		Delta:    math.MaxInt64 / time.Microsecond * time.Microsecond,
		EWMA:     math.MaxInt64 / time.Microsecond * time.Microsecond,
		Soft:     math.MaxInt64 / time.Millisecond * time.Millisecond,
		Grace:    math.MaxInt64 / time.Millisecond * time.Millisecond,
		Clear:    goldenC2,
		Proof:    bytes.Repeat([]byte{0xff}, envelope.MaxProof),
	}
	for i := range envelope.MaxTags {
		b = tagged(b, envelope.Tag{
			ID:    uint64(i+1) * 0x0707070707070707,
			Token: token(fmt.Sprintf("%016d", i)),
		})
	}
	for c := range 256 {
		b.Payload = append(b.Payload, byte(c))
	}
	return b
}
