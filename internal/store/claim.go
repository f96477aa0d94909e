package store

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/envelope"
)

// claimCall takes a lease without a script, for who has read that there is nothing under
// a key of the only node of a deployment, whose clock is known: SET NX does in one plain
// command what acquire.lua does to a key that is not there, and nothing to one that is.
//
//	lease record as the script leaves it: 'K1L' until token D16 Z16, PX retain
//	OK            granted
//	no reply      somebody is there: the script says who
//
// It is as good as the script against these (the tests have their names):
//
//	two who claim       1. A and B read nothing. 2. A claims. 3. B's SET finds A's lease.
//	an invalidation     1. A reads nothing. 2. W writes, and invalidates what is not there.
//	                    3. A claims, and loads what W wrote. Invalidating leaves no
//	                    record behind, so the script grants here too.
//	a write             1. A reads nothing. 2. W opens an intent. 3. A's SET finds it.
//	a late first copy   1. A's SET is on its way, and lost to A. 2. A would send it again, and
//	                    load. 3. W invalidates. 4. The first copy arrives, brings A's token
//	                    back, and what A loaded before is committed (model variant 56). So
//	                    it is sent once, as the script is.
//
// The lease's deadline and Grant.Now are the earliest that it can be for Redis before
// the command is sent, so never later than when it runs: what is judged by them looks
// older than it is by a round trip or two, never younger. For up to a second after a
// failover that may be the clock of the server that was there before, if no operation
// has failed since. That is no worse than leases and entries which that server has
// stamped itself, and which are judged by the new one's clock: a skew lets another
// process take the key over too early, or too late, which the token and the record's
// own TTL bound, and moves a soft expiry; the renewal after a second is the script's.
type claimCall struct {
	args    [6]any // SET key record PX retain NX
	granted bool
	refused bool // the server does not take this command from us
}

// name is that of the script: to the caller it is the same operation.
func (*claimCall) name() string { return acquireScript.name }

func (c *claimCall) keyOf() string { return c.args[1].(string) }

func (*claimCall) own() {}

func (c *claimCall) run(ctx context.Context, client redis.UniversalClient) error {
	cmd := redis.NewCmd(ctx, c.args[:]...)
	err := client.Process(ctx, noRetry{cmd})
	switch {
	case err == nil:
		c.granted = cmd.Val() == "OK"
	case errors.Is(err, redis.Nil):
	case refuses(err):
		c.refused = true
	default:
		return err
	}
	return nil
}

// refuses reports whether err says that the server does not take this command from
// this user at all.
func refuses(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command")
}

// claim acquires a key that was read and not there, without a script. ok is false if
// that is not possible, or somebody is there by now; nothing has been done then, and
// the script may be sent with the same token.
func (s *Store) claim(ctx context.Context, key string, a Acquire) (g Grant, ok bool, err error) {
	if a.Seen != (envelope.Token{}) || a.Invalid || s.noClaim.Load() {
		return Grant{}, false, nil
	}
	now := s.Earliest() / 1000
	if now == 0 {
		return Grant{}, false, nil
	}
	c := &claimCall{args: [6]any{"set", key, claimed(now, a), "px", millis(a.Retain, 1), "nx"}}
	if err := s.send(ctx, s.scripts, c); err != nil {
		return Grant{}, false, err
	}
	if c.refused {
		s.noClaim.Store(true)
	}
	return Grant{Answer: Granted, Now: now}, c.granted, nil
}

// claimed is the record of a's lease if it is granted at now.
func claimed(now int64, a Acquire) string {
	var record [envelope.HeaderSize]byte
	return string(envelope.AppendHeader(record[:0], envelope.Header{
		Kind: envelope.Lease, Until: now + millis(a.Lease, 1), Token: a.Token,
	}))
}
