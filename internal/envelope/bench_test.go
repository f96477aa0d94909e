package envelope_test

import (
	"testing"

	"github.com/larder-go/cache/internal/envelope"
)

func BenchmarkDecode(b *testing.B) {
	body := goldenBody()
	body.Payload = make([]byte, 1024)
	rec := encode(b, envelope.Header{Kind: envelope.Value, CID: goldenT1}, body, goldenKey)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := envelope.Decode(rec, goldenKey); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewToken(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		sinkInt += int(envelope.NewToken()[5])
	}
}

func BenchmarkEncode(b *testing.B) {
	body := goldenBody()
	body.Payload = make([]byte, 1024)
	buf := make([]byte, 0, envelope.BodyOverhead+len(body.Payload))
	b.ReportAllocs()
	for b.Loop() {
		out, crcAt, err := envelope.AppendBody(buf, &body)
		if err != nil {
			b.Fatal(err)
		}
		envelope.Seal(out, crcAt, goldenKey, 7)
	}
}
