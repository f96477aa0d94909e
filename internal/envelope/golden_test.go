package envelope_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

// TestGolden compares every file of testdata with what it means, both ways.
func TestGolden(t *testing.T) {
	files := goldenFiles(t)
	for name := range golden {
		assert.Contains(t, files, name, "a file is never removed")
	}
	for name, rec := range files {
		t.Run(name, func(t *testing.T) {
			want, ok := golden[name]
			require.True(t, ok, "the table lacks this file")

			h, b, err := envelope.Decode(rec, want.key)
			require.ErrorIs(t, err, want.err)
			assert.Equal(t, want.header, h)
			assert.Equal(t, want.intents, envelope.Intents(rec, goldenNow))
			if want.err != nil {
				assert.Zero(t, b)
				assert.Equal(t, rec[:envelope.HeaderSize], envelope.AppendHeader(nil, want.header))
				return
			}
			assertBody(t, want.body, b)
			assert.Equal(t, rec, encode(t, want.header, want.body, want.key))
		})
	}
}

// goldenFiles returns the records in testdata by the name of their files.
func goldenFiles(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*.hex")
	require.NoError(tb, err)
	require.NotEmpty(tb, paths)
	files := make(map[string][]byte, len(paths))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(tb, err)
		rec, err := parseHexFile(string(text))
		require.NoError(tb, err, path)
		files[filepath.Base(path)] = rec
	}
	return files
}

// parseHexFile reads pairs of digits up to a '#' on each line.
func parseHexFile(text string) ([]byte, error) {
	var digits strings.Builder
	for line := range strings.Lines(text) {
		data, _, _ := strings.Cut(line, "#")
		for field := range strings.FieldsSeq(data) {
			digits.WriteString(field)
		}
	}
	rec, err := hex.DecodeString(digits.String())
	if err != nil {
		return nil, fmt.Errorf("hexadecimal: %w", err)
	}
	return rec, nil
}

// assertBody compares bodies; no bytes and nil are the same.
func assertBody(tb testing.TB, want, got envelope.Body) {
	tb.Helper()
	assert.Equal(tb, string(want.Payload), string(got.Payload), "payload")
	assert.Equal(tb, string(want.Tags), string(got.Tags), "tags")
	assert.Equal(tb, want.Proof, got.Proof, "proof")
	want.Payload, want.Tags, want.Proof, want.Proven = nil, nil, nil, nil
	got.Payload, got.Tags, got.Proof, got.Proven = nil, nil, nil, nil
	assert.Equal(tb, want, got)
}
