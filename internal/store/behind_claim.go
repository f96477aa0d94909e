package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache/internal/conn"
	"github.com/larder-go/cache/internal/envelope"
)

var (
	//go:embed lua/claim.lua
	claimLua string
	//go:embed lua/retry.lua
	retryLua string
	//go:embed lua/gauge.lua
	gaugeLua string

	claimScript = newScript("claim", claimLua)
	retryScript = newScript("retry", retryLua)
	gaugeScript = newScript("gauge", gaugeLua)
)

// Claim asks a partition for keys that are due.
type Claim struct {
	Partition *Partition
	Count     int // at most

	// Name is that of the claim on each of Keys, Tries what their hash says of them; unless
	// there is Err. Keys of a lost answer are due again when the lease is over.
	Name  string
	Keys  []string
	Tries []string
	Err   error
}

// Claim takes keys for as long as lease. Nobody else is given them meanwhile.
func (s *Store) Claim(ctx context.Context, claims []Claim, lease time.Duration) {
	ops := conn.NewOps(claimScript.Name, len(claims))
	for i := range claims {
		p := claims[i].Partition
		ops.Add(claimScript.OnKeys([]string{p.Schedule, p.Tries}, claims[i].Count, millis(lease, 1)))
	}
	s.conn.DoWithin(ctx, WorkBudget, ops)
	for i := range claims {
		reply, err := s.reply(ops, i)
		c := &claims[i]
		if c.Err = err; err != nil {
			continue
		}
		list, _ := reply.([]any)
		ok := len(list) == 3
		if ok {
			c.Name, ok = list[0].(string)
			c.Keys, c.Tries = texts(list[1]), texts(list[2])
		}
		if !ok || len(c.Keys) != len(c.Tries) {
			c.Keys, c.Err = nil, &conn.AnswerError{Script: claimScript.Name, Answer: reply}
		}
	}
}

// texts are the strings in a list.
func texts(reply any) []string {
	list, _ := reply.([]any)
	all := make([]string, len(list))
	for i := range list {
		all[i], _ = list[i].(string)
	}
	return all
}

// Claimed is a key that a worker has claimed.
type Claimed struct {
	Partition *Partition
	Key       string
	// Claim is the name of the claim.
	Claim string
	// Version is that in the record that was read, as the record spells it; "" if there
	// was no value.
	Version string
}

// VersionIn is the version in a dirty record, as the record spells it; "" if it is none.
func VersionIn(record []byte) string {
	if len(record) < envelope.HeaderSize || record[2] != byte(envelope.Dirty) {
		return ""
	}
	return string(record[envelope.HeaderSize-19 : envelope.HeaderSize-3])
}

// Retry lets somebody take a key again.
type Retry struct {
	Claimed
	// Delay is in how long.
	Delay time.Duration
	// Counts says that this was a try with the value, and is to be counted.
	Counts bool

	// Until names the claim of who goes on with the key, "" if the claim was lost; unless
	// there is Err.
	Until string
	Err   error
}

// Retry moves keys that are claimed in the schedule.
func (s *Store) Retry(ctx context.Context, retries []Retry) {
	ops := conn.NewOps(retryScript.Name, len(retries))
	for i := range retries {
		r, counts := &retries[i], ""
		if r.Counts {
			counts = r.Version
		}
		ops.Add(retryScript.OnKeys([]string{r.Partition.Schedule, r.Partition.Tries}, r.Key, r.Claim, millis(r.Delay, 0), counts))
	}
	s.conn.DoWithin(ctx, WorkBudget, ops)
	for i := range retries {
		reply, err := s.reply(ops, i)
		retries[i].Until, _ = reply.(string)
		retries[i].Err = err
	}
}

// Scheduled is how many keys of each partition are in its schedule. Elements of partitions
// that failed, which the error tells, are 0.
func (s *Store) Scheduled(ctx context.Context, parts []*Partition) ([]int, error) {
	cmds, all := make([]redis.Cmder, len(parts)), make([]int, len(parts))
	for i, p := range parts {
		cmds[i] = conn.Keyed(redis.NewIntCmd(ctx, "zcard", p.Schedule), 1)
	}
	errs := s.conn.Pipe(ctx, "zcard", cmds...)
	for i := range parts {
		if errs[i] == nil {
			all[i] = int(cmds[i].(*redis.IntCmd).Val())
		}
	}
	return all, keyErrors(errs)
}

// Sizes are the lengths of what is under keys, 0 for nothing.
func (s *Store) Sizes(ctx context.Context, keys []string) ([]int, error) {
	cmds, all := make([]redis.Cmder, len(keys)), make([]int, len(keys))
	for i, key := range keys {
		cmds[i] = conn.Keyed(redis.NewIntCmd(ctx, "strlen", key), 1)
	}
	errs := s.conn.Pipe(ctx, "strlen", cmds...)
	for i, err := range errs {
		if redis.HasErrorPrefix(err, "WRONGTYPE") { // nothing of ours
			errs[i] = nil
		} else if err == nil {
			all[i] = int(cmds[i].(*redis.IntCmd).Val())
		}
	}
	return all, keyErrors(errs)
}

// Records reads what is under keys of one slot, nil for nothing: one command, whose answer
// is as large as all of them.
func (s *Store) Records(ctx context.Context, keys []string) ([][]byte, error) {
	args := make([]any, 1, 1+len(keys))
	args[0] = "mget"
	for _, key := range keys {
		args = append(args, key)
	}
	cmd := conn.Keyed(redis.NewSliceCmd(ctx, args...), 1)
	if err := s.conn.Pipe(ctx, "mget", cmd)[0]; err != nil {
		return nil, err
	}
	all := make([][]byte, len(keys))
	for i, v := range cmd.Val() {
		if text, ok := v.(string); ok {
			all[i] = []byte(text)
		}
	}
	return all, nil
}

// Gauge is the state of a partition.
type Gauge struct {
	// Now is Redis' clock.
	Now time.Time
	// Dirty keys, dead letters, and dirty keys with tries that count.
	Dirty, DeadLetters, Retrying int
	// Since is when the key that has waited longest for the sink became dirty, or was put
	// after what the sink has of it; zero if there is none.
	Since time.Time
}

// Gauges reads the state of each partition at a cost that does not depend on how
// much is dirty. Element i belongs to partition i; a [KeyErrors] says which failed.
func (s *Store) Gauges(ctx context.Context, parts []*Partition) ([]Gauge, error) {
	ops := conn.NewOps(gaugeScript.Name, len(parts))
	for _, p := range parts {
		ops.Add(gaugeScript.OnKeys([]string{p.Dirty, p.Letters, p.Tries}))
	}
	s.conn.DoWithin(ctx, WorkBudget, ops)
	all, errs := make([]Gauge, len(parts)), make([]error, len(parts))
	for i := range parts {
		reply, err := s.reply(ops, i)
		if errs[i] = err; err != nil {
			continue
		}
		var ok bool
		if all[i], ok = gaugeOf(reply); !ok {
			errs[i] = &conn.AnswerError{Script: gaugeScript.Name, Answer: reply}
		}
	}
	return all, keyErrors(errs)
}

func gaugeOf(reply any) (g Gauge, ok bool) {
	list, _ := reply.([]any)
	if len(list) != 5 {
		return g, false
	}
	now, ok0 := list[0].(int64)
	dirty, ok1 := list[1].(int64)
	letters, ok2 := list[2].(int64)
	retrying, ok3 := list[3].(int64)
	since, ok4 := list[4].(string)
	g = Gauge{
		Now: time.UnixMilli(now), Dirty: int(dirty), DeadLetters: int(letters), Retrying: int(retrying), Since: scoreTime(since),
	}
	return g, ok0 && ok1 && ok2 && ok3 && ok4
}
