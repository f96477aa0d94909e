//go:build unix

package main

import (
	"os"
	"syscall"
)

// mapShared maps the first n bytes of file so that all processes see them.
func mapShared(file *os.File, n int) ([]byte, error) {
	return syscall.Mmap(int(file.Fd()), 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func unmap(memory []byte) error { return syscall.Munmap(memory) }
