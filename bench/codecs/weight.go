package codecs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Weight is what a codec adds to a program.
type Weight struct {
	Modules int   // beside the standard library
	Binary  int64 // bytes, stripped, more than a program that only prints
}

// Weigh builds a program that uses the codec and one that does not. It needs the go
// command, and to be run in this module's folder.
func Weigh(c Codec) (Weight, error) {
	dir, err := os.MkdirTemp("", "larder-weigh-")
	if err != nil {
		return Weight{}, err
	}
	defer os.RemoveAll(dir)
	with := fmt.Sprintf("package main\n\nimport (\n\t\"fmt\"\n\tE %q\n)\n\nfunc main() { fmt.Println(%s) }\n", c.Module, c.Use)
	without := "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }\n"
	heavy, modules, err := build(dir, with)
	if err != nil {
		return Weight{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	light, _, err := build(dir, without)
	return Weight{Modules: modules, Binary: heavy - light}, err
}

// build compiles source as if it were a package of this module, and returns the size
// of the program and how many other modules are in it.
func build(dir, source string) (size int64, modules int, err error) {
	const folder = "weigh_probe" // exists in the overlay only
	file, overlay, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	at, err := filepath.Abs(filepath.Join(folder, "main.go"))
	if err != nil {
		return 0, 0, err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{at: file}})
	if err != nil {
		return 0, 0, err
	}
	for name, text := range map[string]string{file: source, overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return 0, 0, err
		}
	}
	if _, err := run("build", "-overlay", overlay, "-ldflags", "-s -w", "-o", program, "./"+folder); err != nil {
		return 0, 0, err
	}
	deps, err := run("list", "-overlay", overlay, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./"+folder)
	if err != nil {
		return 0, 0, err
	}
	seen := map[string]bool{"github.com/larder-go/cache/bench": true, "github.com/larder-go/cache": true}
	for _, path := range strings.Fields(deps) {
		if !seen[path] {
			seen[path] = true
			modules++
		}
	}
	info, err := os.Stat(program)
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), modules, nil
}

func run(args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.Command("go", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, stderr.String())
	}
	return string(out), nil
}
