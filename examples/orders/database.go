package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"
)

// database is the system of record: three tables that it fills itself.
type database struct {
	*sql.DB
	kind  string // sqlite or postgreSQL
	clean func() error
}

const (
	sqlite     = "SQLite"
	postgreSQL = "PostgreSQL"
)

// volume is how many rows each table gets.
type volume struct{ customers, products, orderItems int }

// shop is the volume that the admin page is slow over.
var shop = volume{customers: 10_000, products: 1_000, orderItems: 200_000}

// schema has no index besides the primary keys: none could serve the admin
// page, which sorts by a sum over all rows.
const schema = `
CREATE TABLE larder_customers   (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE larder_products    (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE larder_order_items (id INTEGER PRIMARY KEY,
	customer_id INTEGER NOT NULL, product_id INTEGER NOT NULL, cents INTEGER NOT NULL);`

// openDatabase returns a filled database: PostgreSQL at url, or, if url is
// empty, SQLite in a temporary folder that Close removes. A PostgreSQL that an
// earlier run has filled is used as it is; tables named larder_… of another
// size are an error, so that nothing of somebody else's is dropped.
func openDatabase(ctx context.Context, url string, rows volume) (*database, error) {
	db, err := connect(url)
	if err != nil {
		return nil, err
	}
	if err := db.prepare(ctx, rows); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", db.kind, err), db.Close())
	}
	return db, nil
}

func connect(url string) (*database, error) {
	if url != "" {
		db, err := sql.Open("postgres", url)
		return &database{DB: db, kind: postgreSQL, clean: func() error { return nil }}, err
	}
	folder, err := os.MkdirTemp("", "larder-orders-")
	if err != nil {
		return nil, err
	}
	// The file is scratch: nothing needs to survive a crash. With the cache
	// size a query reads the whole database from this process's memory.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "orders.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=cache_size(-65536)&_pragma=temp_store(MEMORY)")
	return &database{DB: db, kind: sqlite, clean: func() error { return os.RemoveAll(folder) }}, err
}

// Close disconnects and removes what connect put on the disk.
func (d *database) Close() error {
	return errors.Join(d.DB.Close(), d.clean())
}

// prepare creates and fills the tables in one transaction, unless they are there.
func (d *database) prepare(ctx context.Context, rows volume) error {
	var have volume
	if d.count(ctx, &have) == nil {
		if have != rows {
			return fmt.Errorf("the tables hold %+v rows, not %+v: "+
				"drop larder_customers, larder_products and larder_order_items", have, rows)
		}
		return nil
	}
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // After Commit it does nothing; before, its error is not the first.
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := fill(ctx, tx, rows); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = d.ExecContext(ctx, "ANALYZE")
	return err
}

// count fails if the tables do not exist.
func (d *database) count(ctx context.Context, v *volume) error {
	return d.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM larder_customers),
		(SELECT COUNT(*) FROM larder_products), (SELECT COUNT(*) FROM larder_order_items)`).
		Scan(&v.customers, &v.products, &v.orderItems)
}

// fill inserts the same rows in every run: the generator's seed is fixed.
func fill(ctx context.Context, tx *sql.Tx, rows volume) error {
	r := rand.New(rand.NewPCG(1, 2))
	cities := []string{"Aachen", "Bergen", "Cork", "Delft", "Espoo", "Florence", "Ghent", "Haarlem"}
	for _, t := range []table{
		{"larder_customers", 3, rows.customers, func(id int) []any {
			return []any{id, "Customer " + strconv.Itoa(id), cities[r.IntN(len(cities))]}
		}},
		{"larder_products", 2, rows.products, func(id int) []any {
			return []any{id, "Product " + strconv.Itoa(id)}
		}},
		{"larder_order_items", 4, rows.orderItems, func(id int) []any {
			return []any{id, 1 + r.IntN(rows.customers), 1 + r.IntN(rows.products), 99 + r.IntN(20_000)}
		}},
	} {
		if err := t.insert(ctx, tx); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// table is what goes into one table: the rows 1 to rows, as row returns them.
type table struct {
	name    string
	columns int
	rows    int
	row     func(id int) []any
}

// batch is how many rows one INSERT carries. One row each would be all round
// trips for PostgreSQL; the SQLite driver's time grows with the square of it.
const batch = 50

func (t table) insert(ctx context.Context, tx *sql.Tx) error {
	full, err := tx.PrepareContext(ctx, t.insertSQL(batch))
	if err != nil {
		return err
	}
	defer full.Close()
	id := 1
	for ; id+batch-1 <= t.rows; id += batch {
		if _, err := full.ExecContext(ctx, t.args(id, batch)...); err != nil {
			return err
		}
	}
	if rest := t.rows - id + 1; rest > 0 {
		_, err = tx.ExecContext(ctx, t.insertSQL(rest), t.args(id, rest)...)
	}
	return err
}

// args are the columns of n rows from id on.
func (t table) args(id, n int) []any {
	args := make([]any, 0, n*t.columns)
	for i := range n {
		args = append(args, t.row(id+i)...)
	}
	return args
}

// insertSQL is "INSERT INTO name VALUES ($1,$2),($3,$4)…" for n rows.
func (t table) insertSQL(n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + t.name + " VALUES ")
	for i := range n * t.columns {
		switch {
		case i == 0:
			b.WriteByte('(')
		case i%t.columns == 0:
			b.WriteString("),(")
		default:
			b.WriteByte(',')
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteByte(')')
	return b.String()
}
