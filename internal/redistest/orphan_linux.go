package redistest

import "syscall"

// dieWithParent makes the kernel kill the child when this process ends without
// its cleanups, as after a panic or the -timeout of go test.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
