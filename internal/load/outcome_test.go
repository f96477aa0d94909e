package load_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/larder-go/cache/internal/load"
)

// foreign are leases of another process.
func foreign(id byte, until int64) load.Lease { return load.Lease{ID: [16]byte{id}, Until: until} }

var (
	busyOnce = []load.Answer{load.Busy, load.Granted}
	busy     = []load.Answer{load.Busy}
	one      = []load.Lease{foreign(1, 3000)}
)

// One script, one end, whether the key is alone or one of three: and each step is
// taken once for all of them. ALL stands for the keys.
func TestHowAFlightEnds(t *testing.T) {
	fails := func(_ context.Context, k *load.Key) { k.Value, k.Err = nil, errLoader }
	for _, test := range []struct {
		name     string
		script   script
		change   func(*load.Key)
		outcome  load.Outcome
		entitled bool
		value    string // with " KEY" after it; "": none
		err      error
		backoff  time.Duration
		steps    []string
		wait     time.Duration // takes at least
	}{
		{
			name: "granted, loaded, committed", script: script{verdict: load.Committed},
			outcome: load.Stored, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name: "absent", script: script{verdict: load.Committed, loads: func(_ context.Context, k *load.Key) {
				k.Value, k.Err, k.Absent = nil, errLoader, true
			}},
			outcome: load.Stored, entitled: true, err: errLoader, steps: []string{"acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name: "the loader fails at once", script: script{loads: fails},
			outcome: load.Failed, entitled: true, err: errLoader, steps: []string{"acquire ALL", "load ALL", "release 100ms: ALL"},
		},
		{
			name: "the loader fails after a while", script: script{loads: func(ctx context.Context, k *load.Key) {
				if k.Name == "a" {
					time.Sleep(700 * time.Millisecond)
				}
				fails(ctx, k)
			}},
			outcome: load.Failed, entitled: true, err: errLoader, steps: []string{"acquire ALL", "load ALL", "release 700ms: ALL"},
		},
		{
			name: "the loader's time is over", script: script{loads: func(ctx context.Context, k *load.Key) {
				<-ctx.Done()
				k.Value, k.Err = nil, ctx.Err()
			}},
			outcome: load.Failed, entitled: true, err: context.DeadlineExceeded,
			steps: []string{"acquire ALL", "load ALL", "release 1s: ALL"}, wait: timeout,
		},
		{
			name: "the loader calls Goexit", script: script{loads: func(context.Context, *load.Key) { runtime.Goexit() }},
			outcome: load.Failed, entitled: true, err: load.ErrGoexit,
			steps: []string{"acquire ALL", "load ALL", "release 100ms: ALL"},
		},
		{
			name: "the value cannot be encoded", script: script{garbled: true},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL", "release 100ms: ALL"},
		},
		{
			name: "the commit is refused", script: script{verdict: load.Refused},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name: "a newer version is there", script: script{verdict: load.Older},
			outcome: load.Outdated, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name: "nothing is left of its life", script: script{verdict: load.Vanished},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name: "the commit is not answered", script: script{verdict: load.Unknown},
			outcome: load.Loaded, entitled: true, value: "loaded",
			steps: []string{"acquire ALL", "load ALL", "commit ALL", "release 0s: ALL"},
		},
		{
			name: "acquire finds a value", script: script{answers: []load.Answer{load.Served}},
			outcome: load.Found, entitled: true, value: "found", steps: []string{"acquire ALL"},
		},
		{
			name: "the record changed once", script: script{answers: []load.Answer{load.Changed, load.Granted}, verdict: load.Committed},
			outcome: load.Stored, entitled: true, value: "loaded",
			steps: []string{"acquire ALL", "acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name: "the record changes for ever", script: script{answers: []load.Answer{load.Changed}},
			outcome: load.Loaded, entitled: true, value: "loaded",
			steps: []string{"acquire ALL", "acquire ALL", "acquire ALL", "load ALL"},
		},
		{
			name:    "another process stores a value",
			script:  script{answers: busy, left: 3 * time.Second, polls: []load.Answer{load.Busy, load.Busy, load.Served}, leases: one},
			outcome: load.Found, entitled: true, value: "found", steps: []string{"acquire ALL"},
		},
		{
			name:    "another process gives up",
			script:  script{answers: busyOnce, left: 3 * time.Second, polls: []load.Answer{load.Busy, load.Changed}, leases: one, verdict: load.Committed},
			outcome: load.Stored, entitled: true, value: "loaded",
			steps: []string{"acquire ALL", "acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name: "another process takes the lease over",
			script: script{
				answers: busyOnce, left: 3 * time.Second, polls: busy,
				leases: []load.Lease{foreign(1, 3000), foreign(2, 4000)}, verdict: load.Committed,
			},
			outcome: load.Stored, entitled: true, value: "loaded",
			steps: []string{"acquire ALL", "acquire ALL", "load ALL", "commit ALL"},
		},
		{
			name:    "another process's lease runs out",
			script:  script{answers: busyOnce, left: 300 * time.Millisecond, polls: busy, leases: one, verdict: load.Committed},
			outcome: load.Stored, entitled: true, value: "loaded",
			steps: []string{"acquire ALL", "acquire ALL", "load ALL", "commit ALL"}, wait: 300 * time.Millisecond,
		},
		{
			name: "another process renews its lease and stores",
			script: script{
				answers: busy, left: 300 * time.Millisecond, polls: append(repeated(load.Busy, 40), load.Served),
				leases: []load.Lease{foreign(1, 3000), foreign(1, 3900)},
			},
			outcome: load.Found, entitled: true, value: "found", steps: []string{"acquire ALL"}, wait: 300 * time.Millisecond,
		},
		{
			name:    "another process loads for too long",
			script:  script{answers: busy, left: 3 * time.Second, polls: busy, leases: one},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL"}, wait: patience,
		},
		{
			name:    "another process loads for too long, and there is a stale value",
			script:  script{answers: busy, left: 3 * time.Second, polls: busy, leases: one, stale: true},
			outcome: load.Contended, steps: []string{"acquire ALL"}, wait: patience,
		},
		{
			name:    "another process loads twice",
			script:  script{answers: busy, left: 3 * time.Second, polls: []load.Answer{load.Changed}},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "acquire ALL", "load ALL"},
		},
		{
			name:    "a poll is not answered",
			script:  script{answers: busy, left: 3 * time.Second, polls: []load.Answer{load.Unanswered}},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL"},
		},
		{
			name:    "a write begins while another process loads",
			script:  script{answers: busy, left: 3 * time.Second, polls: []load.Answer{load.Untouchable}},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL"},
		},
		{
			name: "a load failed moments ago", script: script{answers: []load.Answer{load.Resting}, left: 200 * time.Millisecond},
			outcome: load.Backoff, backoff: 200 * time.Millisecond, steps: []string{"acquire ALL"},
		},
		{
			name: "a write is in progress", script: script{answers: []load.Answer{load.Untouchable}},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL"},
		},
		{
			name: "Redis does not answer", script: script{answers: []load.Answer{load.Unanswered}},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL"},
		},
		{
			name: "Redis does not answer, and may have granted the lease", script: script{answers: []load.Answer{load.Unanswered}, held: true},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"acquire ALL", "load ALL", "release 0s: ALL"},
		},
		{
			name: "no entry may be made", script: script{refuse: true},
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"load ALL"},
		},
		{
			name: "Redis was not read", change: func(k *load.Key) { k.Bypass = true },
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"load ALL"},
		},
		{
			name: "the record must stay", change: func(k *load.Key) { k.Barred = true },
			outcome: load.Loaded, entitled: true, value: "loaded", steps: []string{"load ALL"},
		},
		{
			name: "a load without a lease fails", script: script{refuse: true, loads: fails},
			outcome: load.Failed, entitled: true, err: errLoader, steps: []string{"load ALL"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, keys []string) {
				r, s := newRoom(t), play(test.script)
				began := time.Now()
				got := <-r.visit(t.Context(), s, request{keys: keys, change: test.change})
				assert.GreaterOrEqual(t, time.Since(began), test.wait)
				for _, key := range keys {
					end := got[key]
					assert.NoError(t, end.left)
					assert.Equal(t, test.outcome, end.Outcome, key)
					assert.Equal(t, test.entitled, end.entitled, key)
					if test.backoff > 0 {
						assert.Equal(t, test.backoff, end.Backoff.Sub(began), key)
					}
					assert.ErrorIs(t, end.Err, test.err, key)
					if test.value == "" {
						assert.Nil(t, end.Value)
					} else {
						assert.Equal(t, test.value+" "+key, end.Value)
					}
				}
				r.Close()
				assert.Equal(t, forAll(test.steps, keys), s.log())
				assert.Zero(t, s.waiting, "a wait that was not said to be over")
			})
		})
	}
}

func repeated(a load.Answer, n int) (all []load.Answer) {
	for range n {
		all = append(all, a)
	}
	return all
}

// forAll is steps for keys.
func forAll(steps, keys []string) []string {
	all := make([]string, len(steps))
	for i, step := range steps {
		all[i] = strings.ReplaceAll(step, "ALL", strings.Join(keys, ","))
	}
	return all
}
