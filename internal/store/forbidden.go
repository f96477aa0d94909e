package store

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Forbidden says what a server refuses for good that an operation needs, if err is that:
// a command that is switched off or that the user may not run, a key that it may not
// touch. what is the command where the reply names it, else what kind of refusal it is;
// it holds no key. ok is false for any other error.
func Forbidden(err error) (what string, ok bool) {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return "", false
	}
	text := reply.Error()
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "unknown command"), strings.Contains(lower, "to run the"):
		if _, rest, found := strings.Cut(text, "'"); found {
			name, _, _ := strings.Cut(rest, "'")
			return strings.ToUpper(name), true
		}
		return "a command", true
	case strings.Contains(lower, "unknown redis command"), strings.Contains(lower, "can't run this command"),
		strings.Contains(lower, "acl failure in script"):
		return "a command of a script", true
	case strings.Contains(lower, "noperm"), strings.Contains(lower, "can't access"):
		return "a key", true
	}
	return "", false
}
