package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/envelope"
	"github.com/larder-go/cache/internal/store"
)

func (b *behind) retry(l store.Letter) error {
	b.t.Helper()
	return b.store.RetryLetter(b.t.Context(), part, l, store.Notice{})
}

// kill makes a dead letter of a new value of key.
func (b *behind) kill(key, body string) store.Letter {
	b.t.Helper()
	v := b.put(key, body)
	require.Equal(b.t, store.SettledClean, b.bury(settlement(b.takeOne(), v)))
	all := b.letters()
	return all[len(all)-1]
}

func TestRetriedLetterIsDirtyWithItsOldVersion(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		letter := b.kill("k", "one")
		require.NoError(t, b.retry(letter))
		assert.Equal(t, [4]int64{1, 1, 0, 0}, b.counts())
		assert.Equal(t, letter.Version, b.dirty("k"))
		h, body := b.record("k")
		assert.Equal(t, envelope.Dirty, h.Kind)
		assert.Equal(t, letter.Version, h.Version)
		assert.Equal(t, "one", body)
		assert.ErrorIs(t, b.retry(letter), store.ErrNoLetter)
		assert.Equal(t, store.SettledClean, b.ack(settlement(b.takeOne(), letter.Version)))
	})
}

func TestLetterIsNotRetriedOverSomethingNewer(t *testing.T) {
	for name, newer := range map[string]func(b *behind){
		"a dirty value": func(b *behind) { b.put("k", "two") },
		"a value that is in the sink": func(b *behind) {
			v := b.put("k", "two")
			b.ack(settlement(b.takeOne(), v))
		},
		"a value that was in the sink and has expired": func(b *behind) {
			v := b.put("k", "two")
			s := settlement(b.takeOne(), v)
			s.TTL = 0
			b.ack(s)
		},
		"a value that died too": func(b *behind) { b.kill("k", "two") },
		"a write in progress": func(b *behind) {
			_, _, err := beginWrite(b.t.Context(), b.store, part.Record("k"), alice, time.Minute, store.Notice{})
			require.NoError(b.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEachBehind(t, func(t *testing.T, b *behind) {
				letter := b.kill("k", "one")
				newer(b)
				before := b.counts()
				assert.ErrorIs(t, b.retry(letter), store.ErrNewer)
				assert.Equal(t, before, b.counts(), "nothing was changed")
			})
		})
	}
}

func TestOfTwoLettersOfAKeyTheYoungerCanBeRetried(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		older, younger := b.kill("k", "one"), b.kill("k", "two")
		assert.ErrorIs(t, b.retry(older), store.ErrNewer)
		require.NoError(t, b.store.DropLetter(t.Context(), part, older.ID))
		assert.Equal(t, [4]int64{0, 0, 1, 1}, b.counts(), "the younger is still the latest")
		require.NoError(t, b.retry(younger))
	})
}

func TestDroppedLetterIsGone(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		letter := b.kill("k", "one")
		require.NoError(t, b.store.DropLetter(t.Context(), part, letter.ID))
		assert.Equal(t, [4]int64{}, b.counts())
		assert.ErrorIs(t, b.store.DropLetter(t.Context(), part, letter.ID), store.ErrNoLetter)
		_, err := b.store.LetterByID(t.Context(), part, letter.ID)
		assert.ErrorIs(t, err, store.ErrNoLetter)
	})
}

func TestLettersAreListedInPages(t *testing.T) {
	onEachBehind(t, func(t *testing.T, b *behind) {
		a, c := b.kill("a", "one"), b.kill("b", "two")
		page, err := b.store.Letters(t.Context(), part, "", 1)
		require.NoError(t, err)
		assert.Equal(t, []store.Letter{a}, page)
		page, err = b.store.Letters(t.Context(), part, a.ID, 5)
		require.NoError(t, err)
		assert.Equal(t, []store.Letter{c}, page)
		one, err := b.store.LetterByID(t.Context(), part, c.ID)
		require.NoError(t, err)
		assert.Equal(t, c, one)
	})
}
