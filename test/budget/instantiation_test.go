//go:build !race

package budget_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// perType is how many bytes of a stripped program one further struct type may cost: what
// was reached last, and 5 %. It falls as code without a type parameter leaves the root.
const perType = 147_000 * 105 / 100

// Whatever has a type parameter is compiled once for each struct type that is cached.
func TestWhatOneFurtherTypeCostsAProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds two programs")
	}
	const few, many = 1, 6
	each := (size(t, many) - size(t, few)) / (many - few)
	t.Logf("one further struct type costs a stripped program %.1f KB", float64(each)/1000)
	assert.LessOrEqual(t, each, int64(perType))
}

// size is that of a program, in bytes, which has caches of so many types.
func size(t *testing.T, types int) int64 {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	source, overlay, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(source, []byte(program(types)), 0o600))
	// The program is built as if it were part of the module, whose packages are built
	// already.
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "test/budget/program/main.go"): source}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, text, 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-ldflags", "-s -w", "-o", out, "./test/budget/program")
	build.Dir = root
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	built, err := os.Stat(out)
	require.NoError(t, err)
	return built.Size()
}

// program is one that reads, loads, sets and invalidates values of so many types.
func program(types int) string {
	var s strings.Builder
	s.WriteString(`package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/larder-go/cache"
)

func use[T any](client *redis.Client, name string) {
	ctx := context.Background()
	c, err := cache.New(client, name, cache.Aside[T]())
	if err != nil {
		panic(err)
	}
	defer c.Close()
	v, err := c.GetOrLoad(ctx, "a", func(context.Context, string) (v T, err error) { return v, nil })
	fmt.Println(err, c.Set(ctx, "b", v), c.Invalidate(ctx, "a"))
	m, err := c.GetOrLoadMany(ctx, []string{"a", "b"}, func(context.Context, []string) (map[string]T, error) { return nil, nil })
	fmt.Println(len(m), err)
}

func main() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
`)
	for i := range types {
		fmt.Fprintf(&s, "\tuse[t%d](client, \"t%d\")\n", i, i)
	}
	s.WriteString("}\n")
	for i := range types {
		fmt.Fprintf(&s, "\ntype t%d struct {\n\tID int\n\tName string\n\tAt%d time.Time\n}\n", i, i)
	}
	return s.String()
}
