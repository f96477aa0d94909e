//go:build !unix

package main

import (
	"errors"
	"os"
)

// mapShared fails: the program needs a system with mmap, as redis-server does.
func mapShared(*os.File, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) error { return errors.ErrUnsupported }
