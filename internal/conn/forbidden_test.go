package conn_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/conn"
)

// Redis 6 and older quotes with backticks, and shows the arguments behind the command.
func TestARefusalIsToldWithoutAnyPieceOfAKey(t *testing.T) {
	for text, want := range map[string]string{
		"ERR unknown command 'mget', with args beginning with: 'user:it's' ":                "MGET",
		"ERR unknown command `evalsha`, with args beginning with: `user:it's`, `o'brien`, ": "EVALSHA",
		"NOPERM User app has no permissions to run the 'client|kill' command":               "CLIENT|KILL",
		"ERR unknown command 'user:42', with args beginning with: ":                         "a command",
		"ERR unknown command ''": "a command",
		"ERR unknown command 'x": "a command",
		"ERR unknown command":    "a command",
	} {
		what, ok := conn.Forbidden(reply(text))
		assert.True(t, ok, text)
		assert.Equal(t, want, what, text)
	}
}
