// Gen writes the dashboard, the rules and the tables of the documentation into the
// repository that it is run in.
package main

import (
	"fmt"
	"os"

	"github.com/larder-go/cache/internal/dash"
)

func main() {
	files, err := dash.Files(".")
	for path, text := range files {
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
