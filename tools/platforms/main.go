// Command platforms checks the types of packages and their tests as other platforms see
// them: files that only they have, and constants that only fit a 64-bit int. It compiles
// nothing, so it takes a few seconds for each platform, where go vet takes a minute.
//
//	go -C tools run ./platforms linux/386 windows/amd64
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	failed := false
	for _, platform := range os.Args[1:] {
		found, err := check(platform)
		if err != nil {
			found = append(found, err.Error())
		}
		for _, f := range found {
			fmt.Printf("%s: %s\n", platform, f)
		}
		failed = failed || len(found) > 0
	}
	if failed {
		os.Exit(1)
	}
}

// check returns what is wrong with the module beside tools on a platform "os/arch".
func check(platform string) (found []string, err error) {
	goos, goarch, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, fmt.Errorf("no platform: %q", platform)
	}
	loaded, err := packages.Load(&packages.Config{
		// With the dependencies, so that they are not compiled.
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
			packages.NeedDeps | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedTypesSizes,
		Dir:   "..",
		Env:   append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
		Tests: true,
	}, "./...")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{} // a package and its test variant find the same
	packages.Visit(loaded, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			if !seen[e.Error()] {
				seen[e.Error()] = true
				found = append(found, e.Error())
			}
		}
	})
	if len(loaded) == 0 {
		found = append(found, "no packages")
	}
	return found, nil
}
