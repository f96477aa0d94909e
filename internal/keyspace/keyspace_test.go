package keyspace_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/larder-go/cache/internal/keyspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func space(t require.TestingT, name string) keyspace.Space {
	s, err := keyspace.New(name)
	require.NoError(t, err)
	return s
}

// The names are frozen: an edit here is a change of the wire format.
func TestNamesAreFrozen(t *testing.T) {
	s := space(t, "shop.users")
	odd := space(t, "a b%:!{}\x00\xff~")
	p := s.Partition(11)
	tests := []struct{ name, got, want string }{
		{"an entry", s.Entry("42"), "shop.users:42"},
		{"an entry of the empty key", s.Entry(""), "shop.users:"},
		{"an entry of a key with braces", s.Entry("{a}:b!c"), "shop.users:{a}:b!c"},
		{"an entry under a name of odd bytes", odd.Entry("k"), "a%20b%25%3A%21%7B%7D%00%FF~:k"},
		{"the clear token", s.Clear(), "shop.users!c"},
		{"the meta record", s.Meta(), "shop.users!m"},
		{"the channel", s.Channel(), "shop.users!i"},
		{"a tag's token", s.Tag("tenant:7"), "shop.users!t38135e9e108ebd10"},
		{"the empty tag's token", s.Tag(""), "shop.users!tef46db3751d8e999"},
		{"a record", p.Record("42"), "{shop.users!11}v42"},
		{"a dead letter's record", p.Letter("42"), "{shop.users!11}y42"},
		{"the dirty keys", p.Dirty(), "{shop.users!11}d"},
		{"the schedule", p.Schedule(), "{shop.users!11}s"},
		{"the tries", p.Tries(), "{shop.users!11}t"},
		{"the clock", p.Clock(), "{shop.users!11}q"},
		{"the dead letters", p.DeadLetters(), "{shop.users!11}x"},
		{"the reasons", p.Reasons(), "{shop.users!11}r"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, test.got) })
	}
	assert.Equal(t, 9, keyspace.PartitionOf("42", 16))
}

func TestANameHas1To64Bytes(t *testing.T) {
	for name, ok := range map[string]bool{
		"": false, "n": true, strings.Repeat("n", 64): true, strings.Repeat("n", 65): false, "\x00": true,
	} {
		_, err := keyspace.New(name)
		assert.Equal(t, ok, err == nil, "%d bytes", len(name))
	}
}

func TestEveryKeyIsAccepted(t *testing.T) {
	s := space(t, "n")
	for _, key := range []string{"", "{", "}", "{}", "a\nb", "\xff\xfe", "!c", ":", strings.Repeat("k", 10<<10)} {
		assert.Equal(t, "n:"+key, s.Entry(key))
		assert.Equal(t, "{n!0}v"+key, s.Partition(0).Record(key))
	}
}

// thing is one thing that has a name in Redis.
type thing struct {
	name, kind, key string
	partition       int
}

func (x thing) redisKey(t require.TestingT) string {
	s := space(t, x.name)
	switch x.kind {
	case "entry":
		return s.Entry(x.key)
	case "clear":
		return s.Clear()
	case "meta":
		return s.Meta()
	case "channel":
		return s.Channel()
	case "tag":
		return s.Tag(x.key)
	case "record":
		return s.Partition(x.partition).Record(x.key)
	case "dirty":
		return s.Partition(x.partition).Dirty()
	case "letter":
		return s.Partition(x.partition).Letter(x.key)
	case "schedule":
		return s.Partition(x.partition).Schedule()
	case "tries":
		return s.Partition(x.partition).Tries()
	case "clock":
		return s.Partition(x.partition).Clock()
	case "reasons":
		return s.Partition(x.partition).Reasons()
	}
	return s.Partition(x.partition).DeadLetters()
}

// same reports whether two things are one: what a kind does not use is ignored.
func (x thing) same(y thing) bool {
	if x.name != y.name || x.kind != y.kind {
		return false
	}
	switch x.kind {
	case "clear", "meta", "channel":
		return true
	case "tag":
		return keyspace.TagID(x.key) == keyspace.TagID(y.key)
	case "entry":
		return x.key == y.key
	case "record", "letter":
		return x.key == y.key && x.partition == y.partition
	}
	return x.partition == y.partition
}

var kinds = []string{"entry", "clear", "meta", "channel", "tag", "record", "letter", "dirty", "schedule", "tries", "clock", "reasons", "dead"}

func TestNoTwoThingsShareAName(t *testing.T) {
	bytes := rapid.StringOf(rapid.SampledFrom([]rune("ab:!{}%0cdmtiv1\x00 ")))
	things := rapid.Custom(func(t *rapid.T) thing {
		name := bytes.Filter(func(s string) bool { return len(s) > 0 && len(s) <= 64 }).Draw(t, "name")
		return thing{
			name, rapid.SampledFrom(kinds).Draw(t, "kind"), bytes.Draw(t, "key"), rapid.IntRange(0, 20).Draw(t, "partition"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		x, y := things.Draw(t, "x"), things.Draw(t, "y")
		assert.Equal(t, x.same(y), x.redisKey(t) == y.redisKey(t), "%+v and %+v", x, y)
	})
}

func FuzzInjective(f *testing.F) {
	f.Add("a", uint8(0), "b", 0, "a", uint8(1), "b", 0)
	f.Add("a:", uint8(0), "b", 0, "a", uint8(0), ":b", 0)
	f.Add("{a", uint8(5), "}", 1, "a", uint8(0), "", 1)
	f.Add("a", uint8(6), "b", 0, "a", uint8(6), "c", 0)
	f.Fuzz(func(t *testing.T, n1 string, k1 uint8, key1 string, p1 int, n2 string, k2 uint8, key2 string, p2 int) {
		if len(n1) == 0 || len(n1) > 64 || len(n2) == 0 || len(n2) > 64 || p1 < 0 || p2 < 0 {
			return
		}
		x := thing{n1, kinds[int(k1)%len(kinds)], key1, p1}
		y := thing{n2, kinds[int(k2)%len(kinds)], key2, p2}
		if x.same(y) != (x.redisKey(t) == y.redisKey(t)) {
			t.Fatalf("%+v and %+v: %q", x, y, x.redisKey(t))
		}
	})
}

func TestSlot(t *testing.T) {
	// What CLUSTER KEYSLOT of Redis 7.0 answers.
	for key, slot := range map[string]uint16{
		"123456789": 12739, "foo": 12182, "": 0, "{user1000}.following": 3443, "{user1000}.followers": 3443,
		"foo{}{bar}": 8363, "foo{{bar}}zap": 4015, "foo{bar}{zap}": 5061, "bar": 5061,
	} {
		assert.Equal(t, slot, keyspace.Slot(key), "%q", key)
	}
}

func TestAPartitionIsInOneSlotAndANameChoosesNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, 16, 64).Filter(func(s string) bool { return s != "" }).Draw(t, "name")
		key := rapid.String().Draw(t, "key")
		s := space(t, name)
		p := s.Partition(rapid.IntRange(0, 100).Draw(t, "p"))
		for _, other := range []string{p.Letter(key), p.Dirty(), p.Schedule(), p.Tries(), p.Clock(), p.DeadLetters(), p.Reasons()} {
			assert.Equal(t, keyspace.Slot(p.Record(key)), keyspace.Slot(other))
		}
		if !strings.ContainsAny(key, "{}") {
			assert.False(t, strings.ContainsAny(s.Entry(key), "{}"))
		}
	})
}

func TestAnEntryCostsOneAllocation(t *testing.T) {
	s := space(t, "shop.users")
	key := "a key that is longer than the small buffer of a string concatenation"
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = s.Entry(key) }), 1.0)
}
