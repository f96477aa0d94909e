package oteltest_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	proto "go.opentelemetry.io/proto/otlp/trace/v1"
	protobuf "google.golang.org/protobuf/proto"
)

// receiver is a back-end that takes spans by OTLP over HTTP.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex // protects following
	spans []*proto.Span
	auth  []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body := io.Reader(request.Body)
		if request.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(body)
			if !assert.NoError(t, err) {
				return
			}
			body = unpacked
		}
		data, err := io.ReadAll(body)
		assert.NoError(t, err)
		var export collector.ExportTraceServiceRequest
		assert.NoError(t, protobuf.Unmarshal(data, &export))
		assert.Equal(t, "/v1/traces", request.URL.Path)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.auth = append(r.auth, request.Header.Get("X-Sentry-Auth"))
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, err = w.Write(nil)
		assert.NoError(t, err)
	}))
	t.Cleanup(r.Close)
	return r
}

// attributeOf is a span's attribute as it was sent: nil if it has none of that name.
// Strings, bools and integers are what they are; an array of strings is a []string.
func attributeOf(span *proto.Span, name string) any {
	for _, kv := range span.Attributes {
		if kv.Key == name {
			return plain(kv.Value)
		}
	}
	return nil
}

func plain(v *common.AnyValue) any {
	switch v := v.Value.(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_ArrayValue:
		all := []string{}
		for _, item := range v.ArrayValue.Values {
			s, ok := plain(item).(string)
			if !ok {
				return v
			}
			all = append(all, s)
		}
		return all
	}
	return v
}

// textual is one attribute.
func textual(name, value string) []*common.KeyValue {
	return []*common.KeyValue{{Key: name, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}}
}
