package main

import (
	"context"
	"database/sql"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Page is one page of the admin list: order items, those of the customers who
// spent most first.
type Page struct {
	Number   int         `json:"number"`
	Total    int         `json:"total"` // order items on all pages
	Items    []OrderItem `json:"items"`
	LoadedAt time.Time   `json:"loaded_at"` // when the query had ended
}

// OrderItem is one row of the list. Amounts are in cents.
type OrderItem struct {
	ID       int    `json:"id"`
	Customer string `json:"customer"`
	City     string `json:"city"`
	Product  string `json:"product"`
	Cents    int    `json:"cents"`
	Spent    int    `json:"spent"` // what the customer spent on all items
}

// pageSize is the number of order items on a page.
const pageSize = 50

// heavyQuery is the kind of query that admin pages grow over the years. It has
// to sum over every order item before it knows which ones come first, no index
// can help, and OFFSET makes later pages no cheaper.
const heavyQuery = `
WITH spending AS (
	SELECT customer_id, SUM(cents) AS spent FROM larder_order_items GROUP BY customer_id
)
SELECT i.id, c.name, c.city, p.name, i.cents, s.spent
FROM larder_order_items i
JOIN larder_customers c ON c.id = i.customer_id
JOIN larder_products p ON p.id = i.product_id
JOIN spending s ON s.customer_id = i.customer_id
ORDER BY s.spent DESC, i.customer_id, i.id
LIMIT $1 OFFSET $2`

// repository reads pages from the database. It knows nothing of the cache.
type repository struct {
	db     *sql.DB
	tracer trace.Tracer
	meter  *cpuMeter // nil: not measured
}

// Find returns the page of that number; the first is 1. One past the end has
// no items.
func (r *repository) Find(ctx context.Context, number int) (page Page, err error) {
	ctx, span := r.tracer.Start(ctx, "SELECT larder_order_items", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.Int("page", number)))
	defer func() {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}()
	r.meter.measure(number, func() { page, err = r.query(ctx, number) })
	return page, err
}

func (r *repository) query(ctx context.Context, number int) (Page, error) {
	page := Page{Number: number, Items: make([]OrderItem, 0, pageSize)}
	err := r.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM larder_order_items`).Scan(&page.Total)
	if err != nil {
		return Page{}, err
	}
	rows, err := r.db.QueryContext(ctx, heavyQuery, pageSize, (number-1)*pageSize)
	if err != nil {
		return Page{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var i OrderItem
		if err := rows.Scan(&i.ID, &i.Customer, &i.City, &i.Product, &i.Cents, &i.Spent); err != nil {
			return Page{}, err
		}
		page.Items = append(page.Items, i)
	}
	page.LoadedAt = time.Now()
	return page, rows.Err()
}
