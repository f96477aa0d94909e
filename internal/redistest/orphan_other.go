//go:build !linux

package redistest

import "syscall"

// dieWithParent can promise nothing here: a test process that ends without its
// cleanups leaves its servers behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
