package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed schema.sql
var schema string

// database is the system of record, and where other processes find it.
type database struct {
	*pgxpool.Pool
	url  string
	stop func() error
}

// errNoPostgres says that there is nothing to connect to or to start.
var errNoPostgres = errors.New("needs PostgreSQL: set DATABASE_URL, or install it, with initdb on the PATH")

// openDatabase opens PostgreSQL at url, or, if url is empty, one that it starts in a
// temporary folder and that Close removes, and makes tables and triggers.
func openDatabase(ctx context.Context, url string) (*database, error) {
	d := &database{url: url, stop: func() error { return nil }}
	if url == "" {
		if err := d.start(ctx); err != nil {
			return nil, err
		}
	}
	var err error
	if d.Pool, err = pgxpool.New(ctx, d.url); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	if _, err := d.Exec(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the database: %w", err), d.Close())
	}
	return d, nil
}

// Close disconnects, and ends the server if it is ours.
func (d *database) Close() error {
	d.Pool.Close()
	return d.stop()
}

// start starts a scratch server on a free port of this machine.
func (d *database) start(ctx context.Context) error {
	programs, err := findPostgres()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "larder-outbox-")
	if err != nil {
		return err
	}
	if err := errors.Join(ownedByOther(folder), d.startIn(ctx, programs, folder)); err != nil {
		return errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(folder))
	}
	return nil
}

func (d *database) startIn(ctx context.Context, programs, folder string) error {
	command := func(program string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(programs, program), args...)
		c.Dir, c.SysProcAttr = folder, asOther()
		return c
	}
	data := filepath.Join(folder, "data")
	if out, err := command("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	server := command("postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB")
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return err
	}
	server.Stderr = log
	if err := errors.Join(server.Start(), log.Close()); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	d.url = "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	d.stop = func() error {
		err := server.Process.Signal(os.Interrupt) // "fast": it does not wait for clients
		<-ended
		return errors.Join(err, os.RemoveAll(folder))
	}
	if err := d.await(ctx, ended); err != nil {
		text, _ := os.ReadFile(log.Name())
		_ = server.Process.Kill()
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// await waits until the server takes connections.
func (d *database) await(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pool, err := pgxpool.New(ctx, d.url)
	if err != nil {
		return err
	}
	defer pool.Close()
	for {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case exit := <-ended:
			return errors.Join(exit, err)
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// findPostgres is the folder of initdb and postgres: that of the PATH, or where
// Debian puts them.
func findPostgres() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errNoPostgres
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}
