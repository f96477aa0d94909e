package envelope_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

const (
	maxMicros = math.MaxInt64 / time.Microsecond * time.Microsecond
	longest   = math.MaxInt64 / time.Millisecond * time.Millisecond
)

func TestDurationsAreRoundedUpToTheirUnit(t *testing.T) {
	tests := map[string]struct {
		in             time.Duration
		micros, millis time.Duration
	}{
		"zero stays zero":            {0, 0, 0},
		"negative is zero":           {-time.Second, 0, 0},
		"the least is zero":          {math.MinInt64, 0, 0},
		"a nanosecond is not zero":   {1, time.Microsecond, time.Millisecond},
		"whole units are kept":       {7 * time.Millisecond, 7 * time.Millisecond, 7 * time.Millisecond},
		"fractions are rounded up":   {1_000_001, 1001 * time.Microsecond, 2 * time.Millisecond},
		"the greatest is not passed": {math.MaxInt64, maxMicros, longest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := envelope.Body{Delta: tt.in, EWMA: tt.in, Soft: tt.in, Grace: tt.in}
			rec := encode(t, envelope.Header{Kind: envelope.Value}, in, "k")
			_, b, err := envelope.Decode(rec, "k")
			require.NoError(t, err)
			assert.Equal(t, tt.micros, b.Delta)
			assert.Equal(t, tt.micros, b.EWMA)
			assert.Equal(t, tt.millis, b.Soft)
			assert.Equal(t, tt.millis, b.Grace)
		})
	}
}

func TestTheZeroBodyReadsBackWithoutTokenAndTime(t *testing.T) {
	in := envelope.Body{LoadedAt: -1}
	_, b, err := envelope.Decode(encode(t, envelope.Header{Kind: envelope.Value}, in, ""), "")
	require.NoError(t, err)
	assertBody(t, envelope.Body{Clear: envelope.NoToken}, b)
}

func TestAppendBodyAppends(t *testing.T) {
	b := goldenBody()
	want, wantCRC, err := envelope.AppendBody(nil, &b)
	require.NoError(t, err)
	got, crcAt, err := envelope.AppendBody([]byte("before"), &b)
	require.NoError(t, err)
	assert.Equal(t, "before"+string(want), string(got))
	assert.Equal(t, wantCRC, crcAt, "it counts from the body, not from dst")
	assert.Equal(t, make([]byte, 4), want[crcAt:crcAt+4])
	assert.Equal(t, string(b.Payload), string(want[crcAt+4:]))
}

func TestThePayloadMayBeInTheBodyOrComeBehindIt(t *testing.T) {
	b, key := goldenBody(), "users:42"
	header := envelope.AppendHeader(nil, envelope.Header{Kind: envelope.Value})
	rec, crcAt, err := envelope.AppendBody(header, &b)
	require.NoError(t, err)
	envelope.Seal(rec[envelope.HeaderSize:], crcAt, key, 0)
	assert.Equal(t, encode(t, envelope.Header{Kind: envelope.Value}, b, key), rec)
}

func TestBodyOverheadIsEnough(t *testing.T) {
	b := extremeBody()
	b.Payload = nil
	out, _, err := envelope.AppendBody(nil, &b)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(out), envelope.BodyOverhead)
	assert.Greater(t, len(out), envelope.BodyOverhead*9/10, "it is not far off")
}

func TestTagsAreRefusedWhereTheyCannotBeWritten(t *testing.T) {
	most := extremeBody().Tags
	for name, tags := range map[string]envelope.Tags{
		"33 tags are too many":        envelope.AppendTag(most, envelope.Tag{}),
		"many tags are too many":      make(envelope.Tags, 24*256),
		"half a tag is none":          most[:12],
		"a tag and a byte is not one": most[:25],
		"32 tags and a byte, either":  append(most[:len(most):len(most)], 0),
	} {
		t.Run(name, func(t *testing.T) {
			out, crcAt, err := envelope.AppendBody([]byte("before"), &envelope.Body{Tags: tags})
			require.ErrorIs(t, err, envelope.ErrTags)
			assert.Equal(t, "before", string(out), "nothing was appended")
			assert.Zero(t, crcAt)
		})
	}
}

func TestAProofIsRefusedWhereItIsTooLong(t *testing.T) {
	out, crcAt, err := envelope.AppendBody([]byte("before"), &envelope.Body{Proof: make([]byte, envelope.MaxProof+1)})
	require.ErrorIs(t, err, envelope.ErrProof)
	assert.Equal(t, "before", string(out), "nothing was appended")
	assert.Zero(t, crcAt)
}

func TestTags(t *testing.T) {
	var tags envelope.Tags
	assert.Zero(t, tags.Len())
	want := []envelope.Tag{{ID: 0, Token: goldenT1}, {ID: math.MaxUint64, Token: goldenT2}, {ID: 0, Token: goldenT1}}
	for i, tag := range want {
		tags = envelope.AppendTag(tags, tag)
		assert.Equal(t, i+1, tags.Len())
	}
	for i, tag := range want {
		assert.Equal(t, tag, tags.At(i))
	}
	assert.Equal(t, envelope.NoToken, envelope.AppendTag(nil, envelope.Tag{}).At(0).Token)
	assert.Panics(t, func() { tags.At(3) })
	assert.Panics(t, func() { tags.At(-1) })
}
