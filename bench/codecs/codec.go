// Package codecs puts encoders of values behind one face.
package codecs

import (
	stdjson "encoding/json"
	"fmt"

	"github.com/bytedance/sonic"
	"github.com/fxamacker/cbor/v2"
	jsonv2 "github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	gojson "github.com/goccy/go-json"
	jsoniter "github.com/json-iterator/go"
	segmentio "github.com/segmentio/encoding/json"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/larder-go/cache"
)

// Codec encodes values and decodes them.
type Codec struct {
	Name   string
	Module string // import path of what is used
	Encode func(any) ([]byte, error)
	Decode func([]byte, any) error
	// Use is the source of an expression that links it, for its weight: E is the
	// package.
	Use string
}

// Names of codecs: the one that the others are measured against, and this library's.
const (
	Floor = "encoding/json"
	Ours  = "larder"
)

const anyUse = "E.Marshal, E.Unmarshal"

var all = []Codec{
	{Floor, "encoding/json", stdjson.Marshal, stdjson.Unmarshal, anyUse},
	{
		Ours, "github.com/segmentio/encoding/json",
		func(v any) ([]byte, error) { return cache.JSON.Append(nil, v) }, cache.JSON.Decode, anyUse,
	},
	{
		"json/v2", "github.com/go-json-experiment/json",
		func(v any) ([]byte, error) { return jsonv2.Marshal(v) },
		func(b []byte, v any) error { return jsonv2.Unmarshal(b, v) }, anyUse,
	},
	{
		"json/v2 as v1", "github.com/go-json-experiment/json/v1",
		func(v any) ([]byte, error) { return jsonv1.Marshal(v) },
		func(b []byte, v any) error { return jsonv1.Unmarshal(b, v) }, anyUse,
	},
	{"sonic", "github.com/bytedance/sonic", sonic.Marshal, sonic.Unmarshal, anyUse},
	{
		"sonic std", "github.com/bytedance/sonic",
		sonic.ConfigStd.Marshal, sonic.ConfigStd.Unmarshal, "E.ConfigStd",
	},
	{"goccy/go-json", "github.com/goccy/go-json", gojson.Marshal, gojson.Unmarshal, anyUse},
	{"segmentio", "github.com/segmentio/encoding/json", segmentio.Marshal, segmentio.Unmarshal, anyUse},
	{
		"json-iterator", "github.com/json-iterator/go",
		jsoniter.ConfigCompatibleWithStandardLibrary.Marshal, jsoniter.ConfigCompatibleWithStandardLibrary.Unmarshal,
		"E.ConfigCompatibleWithStandardLibrary",
	},
	{"msgpack", "github.com/vmihailenco/msgpack/v5", msgpack.Marshal, msgpack.Unmarshal, anyUse},
	{"cbor", "github.com/fxamacker/cbor/v2", cbor.Marshal, cbor.Unmarshal, anyUse},
}

// All returns the codecs, the floor first.
func All() []Codec { return all }

// Find returns the codec of a name.
func Find(name string) (Codec, error) {
	for _, c := range all {
		if c.Name == name {
			return c, nil
		}
	}
	return Codec{}, fmt.Errorf("no codec %q", name)
}
