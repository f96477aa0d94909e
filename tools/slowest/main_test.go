package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestItReadsWhatGoTestPrints(t *testing.T) {
	got, err := read(strings.NewReader(`?   	example.com/none	[no test files]
ok  	example.com/kept	(cached)
ok  	example.com/fine	12.345s
	example.com/empty		coverage: 0.0% of statements
ok  	example.com/nothing	0.002s [no tests to run]
--- FAIL: TestX (0.00s)
    x_test.go:1: ok  	example.com/said	1.5s
FAIL
FAIL	example.com/failed	62.100s
FAIL	example.com/broken [build failed]
FAIL`))
	want := []result{
		{"example.com/fine", 12345 * time.Millisecond},
		{"example.com/nothing", 2 * time.Millisecond},
		{"example.com/failed", 62100 * time.Millisecond},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v; want %v", got, err, want)
	}
}
