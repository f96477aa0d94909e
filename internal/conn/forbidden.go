package conn

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Forbidden says what a server refuses for good that an operation needs, if err is that:
// a command that is switched off or that the user may not run, a key that it may not
// touch. what is the command where the reply names it, else what kind of refusal it is;
// it holds no key. It is "" if the logger of [Options] was told, as of a [MisroutedError].
// ok is false for any other error.
func Forbidden(err error) (what string, ok bool) {
	if _, ok := errors.AsType[*MisroutedError](err); ok {
		return "", true
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return "", false
	}
	text := reply.Error()
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "unknown command"), strings.Contains(lower, "to run the"):
		return commandIn(text), true
	case strings.Contains(lower, "unknown redis command"), strings.Contains(lower, "can't run this command"),
		strings.Contains(lower, "acl failure in script"):
		return "a command of a script", true
	case strings.Contains(lower, "noperm"), strings.Contains(lower, "can't access"):
		return "a key", true
	}
	return "", false
}

// commandIn is the name that a reply quotes first, by whatever marks its server uses; what
// does not look like one may be a piece of a key.
func commandIn(text string) string {
	const marks = "'`"
	at := strings.IndexAny(text, marks)
	if at < 0 {
		return "a command"
	}
	name := text[at+1:]
	end := strings.IndexAny(name, marks)
	if end <= 0 || strings.Trim(strings.ToLower(name[:end]), "abcdefghijklmnopqrstuvwxyz|") != "" {
		return "a command"
	}
	return strings.ToUpper(name[:end])
}
