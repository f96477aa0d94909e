package main

import (
	"context"
	"net/url"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
)

// corner is a shop small enough for tests; its rows fill no whole number of
// batches or pages.
var corner = volume{customers: 7, products: 3, orderItems: 2*pageSize + 13}

// databases are the URLs to test against: SQLite, and the PostgreSQL that
// DATABASE_URL names.
func databases() map[string]string {
	urls := map[string]string{"SQLite": ""}
	if url := os.Getenv("DATABASE_URL"); url != "" {
		urls["PostgreSQL"] = url
	}
	return urls
}

// newRepository returns a repository over rows; on PostgreSQL in a schema of
// its own, which leaves the tables of the example alone.
func newRepository(t *testing.T, address string, rows volume) *repository {
	t.Helper()
	if address != "" {
		address = newSchema(t, address)
	}
	db, err := openDatabase(t.Context(), address, rows)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return &repository{db: db.DB, tracer: noop.NewTracerProvider().Tracer("")}
}

// newSchema makes an empty schema in the PostgreSQL at address until the test
// ends, and returns the address with which tables go there.
func newSchema(t *testing.T, address string) string {
	t.Helper()
	const schema = "larder_orders_test"
	db, err := connect(address)
	require.NoError(t, err)
	drop := func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
		require.NoError(t, err)
	}
	drop() // of a run that was killed
	_, err = db.ExecContext(t.Context(), "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		drop()
		require.NoError(t, db.Close())
	})
	parsed, err := url.Parse(address)
	require.NoError(t, err)
	query := parsed.Query()
	query.Set("search_path", schema)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

func TestPagesAreDisjointOrderedAndComplete(t *testing.T) {
	for name, address := range databases() {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t, address, corner)
			var items []OrderItem
			for number, size := range []int{pageSize, pageSize, 13, 0} {
				page, err := repo.Find(t.Context(), number+1)
				require.NoError(t, err)
				assert.Equal(t, number+1, page.Number)
				assert.Equal(t, corner.orderItems, page.Total)
				assert.Len(t, page.Items, size)
				assert.False(t, page.LoadedAt.IsZero())
				items = append(items, page.Items...)
			}
			assert.True(t, slices.IsSortedFunc(items, func(a, b OrderItem) int { return b.Spent - a.Spent }),
				"who spent most comes first")
			ids, spent, claimed := map[int]bool{}, map[string]int{}, map[string]int{}
			for _, i := range items {
				ids[i.ID] = true
				spent[i.Customer] += i.Cents
				claimed[i.Customer] = i.Spent
			}
			assert.Len(t, ids, corner.orderItems, "no item is on two pages")
			assert.Equal(t, spent, claimed, "the aggregate is over all of a customer's items")
		})
	}
}

func TestEveryRunFillsTheSameRows(t *testing.T) {
	first, err := newRepository(t, "", corner).Find(t.Context(), 1)
	require.NoError(t, err)
	second, err := newRepository(t, "", corner).Find(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, first.Items, second.Items)
}

func TestAFilledDatabaseIsUsedAndAnotherOneRefused(t *testing.T) {
	db, err := openDatabase(t.Context(), "", corner)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.prepare(t.Context(), corner), "filled already")
	other := volume{customers: 7, products: 3, orderItems: 5}
	require.ErrorContains(t, db.prepare(t.Context(), other), "drop larder_customers")
}

func TestTheShopIsLargeEnough(t *testing.T) {
	assert.GreaterOrEqual(t, shop.orderItems, 200_000)
}

func TestACancelledQueryReturnsItsError(t *testing.T) {
	repo := newRepository(t, "", corner)
	ctx, cancel := contextThatEnded(t)
	defer cancel()
	_, err := repo.Find(ctx, 1)
	require.Error(t, err)
}
