package cache

import (
	"errors"
	"fmt"
	"slices"

	"github.com/larder-go/cache/internal/keyspace"
	"github.com/larder-go/cache/internal/region"
)

// EntryOption says how an entry is kept. It is an argument of a call, or, as
// an [Option] of New, the cache's default. New's options apply first, then the
// call's.
type EntryOption struct {
	class *TTL
	tags  []string
	given entryOptionKind
	store bool
}

type entryOptionKind uint8

const (
	givenExpires entryOptionKind = iota + 1
	givenStoreIf
	givenTagged
)

// Expires sets the expiry class; it replaces an earlier one. A nil or bad class
// is an error of New or of the call, naming the field.
func Expires(class *TTL) EntryOption {
	return EntryOption{class: class, given: givenExpires}
}

// StoreIf(false) keeps what is loaded out of the cache: a hit is still served,
// a miss takes no lease and stores nothing, and concurrent misses still share
// loads. It is known before the load (cache page 1, not page 900) and is
// refused as an option of New. Several of them are anded.
func StoreIf(ok bool) EntryOption {
	return EntryOption{store: ok, given: givenStoreIf}
}

// entry is how one call keeps its entry: New's options, then the call's.
type entryPolicy struct {
	class *TTL
	store bool
	names []string     // of the tags
	tags  []region.Tag // those of names, as the cache refers to them
}

// wanted is e as internal/region knows it.
func (e *entryPolicy) wanted() region.Wanted {
	return region.Wanted{Class: e.class.policy(), Tags: e.tags}
}

// add applies one option. The error names the option and the field.
func (e *entryPolicy) add(o EntryOption) error {
	switch o.given {
	case givenExpires:
		if err := o.class.policy().Validate(); err != nil {
			return fmt.Errorf("Expires: %w", err)
		}
		e.class = o.class
	case givenStoreIf:
		e.store = e.store && o.store
	case givenTagged:
		return e.tag(o.tags)
	default:
		return errors.New("EntryOption: the zero value is no option; use Expires, Tagged or StoreIf")
	}
	return nil
}

// tag adds tags to e.
func (e *entryPolicy) tag(tags []string) error {
	all := slices.Clone(e.names) // the cache's own are shared by all calls
	for _, tag := range tags {
		if tag == "" {
			return errors.New("Tagged: a tag is empty")
		}
		if !slices.Contains(all, tag) {
			all = append(all, tag)
		}
	}
	if len(all) > region.MaxTags {
		return fmt.Errorf("Tagged: %d tags; an entry has at most %d", len(all), region.MaxTags)
	}
	e.names = all
	return nil
}

// refer looks up the tags that e names.
func (e *entryPolicy) refer(space keyspace.Space) {
	e.tags = nil
	for _, name := range e.names {
		e.tags = region.WithTag(e.tags, region.TagIn(space, keyspace.TagID(name)))
	}
}

// with is how a call with these options keeps its entry, whose defaults are e.
func (e entryPolicy) with(opts []EntryOption, space keyspace.Space) (entryPolicy, error) {
	tagged := false
	for i := range opts {
		if err := e.add(opts[i]); err != nil {
			return e, err
		}
		tagged = tagged || opts[i].given == givenTagged
	}
	if tagged {
		e.refer(space)
	}
	return e, nil
}
