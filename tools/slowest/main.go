// Command slowest reads what go test prints, passes it on, and adds which packages took
// longest. It fails if one took longer than it may.
//
//	go test ./... | go -C tools run ./slowest -limit 40s -free '/test/'
package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"
)

func main() {
	limit := flag.Duration("limit", 15*time.Second, "what a package may take")
	free := flag.String("free", "/test/", "packages that may take longer: a regular expression")
	shown := flag.Int("n", 10, "how many packages are listed")
	flag.Parse()
	exempt := regexp.MustCompile(*free)
	all, err := read(io.TeeReader(os.Stdin, os.Stdout))
	if err != nil {
		fmt.Fprintln(os.Stderr, "slowest:", err)
		os.Exit(2)
	}
	slices.SortFunc(all, func(a, b result) int { return cmp.Compare(b.took, a.took) })
	fmt.Printf("\nthe slowest of %d packages:\n", len(all))
	for _, r := range all[:min(*shown, len(all))] {
		fmt.Printf("%9v  %s\n", r.took, r.name)
	}
	failed := false
	for _, r := range all {
		if r.took > *limit && !exempt.MatchString(r.name) {
			fmt.Printf("%s took %v: a package outside test/ may take %v\n", r.name, r.took, *limit)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// result is how long the tests of a package took.
type result struct {
	name string
	took time.Duration
}

// line is the last of a package: "ok", its path, its time. One whose result go test has
// kept from an earlier run has no time.
var line = regexp.MustCompile(`^(?:ok|FAIL)\s+(\S+)\s+([0-9.]+s)\b`)

// read returns the packages of go test's output.
func read(out io.Reader) (all []result, err error) {
	lines := bufio.NewReader(out)
	for {
		text, err := lines.ReadString('\n')
		if m := line.FindStringSubmatch(text); m != nil {
			took, err := time.ParseDuration(m[2])
			if err != nil {
				return nil, err
			}
			all = append(all, result{m[1], took})
		}
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
	}
}
