package envelope_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
)

func TestNewTokenIsUniqueLocalAndBase64URL(t *testing.T) {
	const n = 10_000
	seen := make(map[envelope.Token]bool, n)
	process := envelope.NewToken().String()[:4]
	for range n {
		tok := envelope.NewToken()
		require.False(t, seen[tok], "token %s came twice", tok)
		seen[tok] = true
		require.True(t, tok.Local())
		require.True(t, strings.HasPrefix(tok.String(), process))
		_, err := base64.RawURLEncoding.DecodeString(tok.String())
		require.NoError(t, err)
	}
}

func TestEachOfTheRandomCharactersVaries(t *testing.T) {
	var seen [envelope.TokenSize]map[byte]bool
	for range 2000 {
		for i, c := range envelope.NewToken() {
			if seen[i] == nil {
				seen[i] = map[byte]bool{}
			}
			seen[i][c] = true
		}
	}
	for i, chars := range seen {
		if i < 4 {
			assert.Len(t, chars, 1, "character %d is the process's", i)
		} else {
			assert.Len(t, chars, 64, "character %d is random", i)
		}
	}
}

func TestTokensOfOthersAreNotLocal(t *testing.T) {
	foreign := envelope.NewToken()
	foreign[3] ^= 1
	assert.False(t, foreign.Local())
	assert.False(t, envelope.NoToken.Local())
	assert.False(t, envelope.Token{}.Local())
}

func TestParseToken(t *testing.T) {
	tests := map[string]struct {
		in string
		ok bool
	}{
		"sixteen characters are a token":          {"Qk3_0aB1cD2eF3gH", true},
		"sixteen dashes are NoToken":              {"----------------", true},
		"the bytes are not judged":                {"\x00\xff!!!!!!!!!!!!!!", true},
		"fifteen are too few":                     {"Qk3_0aB1cD2eF3g", false},
		"seventeen are too many":                  {"Qk3_0aB1cD2eF3gHi", false},
		"nothing is no token, not even NoToken":   {"", false},
		"sixteen runes of two bytes are too many": {strings.Repeat("é", 16), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tok, ok := envelope.ParseToken(tt.in)
			assert.Equal(t, tt.ok, ok)
			if tt.ok {
				assert.Equal(t, tt.in, tok.String())
			} else {
				assert.Zero(t, tok)
			}
		})
	}
	assert.Equal(t, strings.Repeat("-", 16), envelope.NoToken.String())
}
