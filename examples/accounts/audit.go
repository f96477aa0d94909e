package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/larder-go/cache"
)

// auditor compares the cache with the table while nobody writes.
type auditor struct {
	accounts *cache.Cache[Account]
	rows     *repository
}

// check adds what it finds of the accounts to o.
func (a *auditor) check(ctx context.Context, ids []string, o *outcome) error {
	for _, id := range ids {
		row, err := a.rows.Find(ctx, id)
		if err != nil {
			return fmt.Errorf("account %s: %w", id, err)
		}
		cached, err := a.accounts.Get(ctx, id)
		switch {
		case errors.Is(err, cache.ErrMiss):
			o.absent++
		case err != nil:
			return err
		case cached == row:
			o.equal++
		default:
			o.different = append(o.different, fmt.Sprintf("cached %+v, but the row is %+v", cached, row))
		}
	}
	return nil
}
