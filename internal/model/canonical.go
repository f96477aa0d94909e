package model

import "hash/maphash"

// canonical renames what has no meaning but its identity: readers that run the same program
// may change places, tokens are numbered in the order in which they are met. Two states that
// differ by names only have the same futures, so one of them is enough. Flights and writers
// keep their places: a flight is named by its slot, a writer by what it has written.
func (m *keyed) canonical(s *State) State {
	c := *s
	if m.unreduced {
		return c
	}
	var tokens, tags renaming
	tokens.visit(&c.lock, &c.rival, &c.lateAcq, &c.rec.tok, &c.rec.cid, &c.replica.tok, &c.replica.cid)
	tags.visit(&c.tag, &c.rec.tag, &c.replica.tag, &c.late)
	sortReaders(c.r[:m.readers])
	for i := range c.r[:m.readers] {
		tokens.visit(&c.r[i].tok, &c.r[i].seen)
		tags.visit(&c.r[i].tag)
	}
	for j := range c.w[:m.writers] {
		tokens.visit(&c.w[j].tok)
		tags.visit(&c.w[j].tag)
	}
	return c
}

func (m *keyed) fingerprint(s any, seed maphash.Seed) uint64 {
	return maphash.Comparable(seed, m.canonical(s.(*State)))
}

// renaming maps tokens to their rank of appearance.
type renaming struct {
	names [32]int8
	last  int8
}

func (r *renaming) visit(tokens ...*int8) {
	for _, t := range tokens {
		if *t == 0 {
			continue
		}
		if r.names[*t] == 0 {
			r.last++
			r.names[*t] = r.last
		}
		*t = r.names[*t]
	}
}

// sortReaders sorts by order. They are few, and each order is worked out once.
func sortReaders(readers []reader) {
	var orders [maxReaders]uint64
	for i := range readers {
		orders[i] = readers[i].order()
		for k := i; k > 0 && orders[k] < orders[k-1]; k-- {
			orders[k], orders[k-1] = orders[k-1], orders[k]
			readers[k], readers[k-1] = readers[k-1], readers[k]
		}
	}
}

// order makes any total order; tokens come last, so that readers which differ otherwise are
// in the same order whatever their tokens are called.
func (r *reader) order() uint64 {
	n := uint64(r.pc)
	for _, flag := range [...]bool{
		r.soft, r.onError, r.swept, r.bg, r.waited, r.unleased, r.covered, r.okc,
	} {
		n <<= 1
		if flag {
			n |= 1
		}
	}
	for _, v := range [...]int8{r.floor + 1, r.val + 1, r.flight} {
		n = n<<4 | uint64(v)&15
	}
	for _, v := range [...]int8{int8(r.fallback), r.round, r.acquires, r.loads} {
		n = n<<3 | uint64(v)&7
	}
	for _, v := range [...]int8{r.tok, r.seen, r.tag} {
		n = n<<5 | uint64(v)&31
	}
	return n<<4 | uint64(r.after)&15
}

// freshToken returns a lease token that nothing in s holds. To reuse the number of a token
// that is gone everywhere is the same as to draw a new one.
func (m *keyed) freshToken(s *State) int8 {
	used := bit(s.lock) | bit(s.rival) | bit(s.lateAcq) | bit(s.rec.tok) | bit(s.rec.cid) |
		bit(s.replica.tok) | bit(s.replica.cid)
	for i := range s.r[:m.readers] {
		used |= bit(s.r[i].tok) | bit(s.r[i].seen)
	}
	for j := range s.w[:m.writers] {
		used |= bit(s.w[j].tok)
	}
	return lowestFree(used)
}

// freshTag is freshToken for tag tokens.
func (m *keyed) freshTag(s *State) int8 {
	used := bit(s.tag) | bit(s.late) | bit(s.rec.tag) | bit(s.replica.tag)
	for i := range s.r[:m.readers] {
		used |= bit(s.r[i].tag)
	}
	for j := range s.w[:m.writers] {
		used |= bit(s.w[j].tag)
	}
	return lowestFree(used)
}

// bit is the set of n alone; tokens stay below 32 because their numbers are used again.
func bit(n int8) uint32 { return 1 << uint(n) }

func lowestFree(used uint32) int8 {
	n := int8(1)
	for used&bit(n) != 0 {
		n++
	}
	return n
}
