//go:build unix

package main

import (
	"runtime"
	"syscall"
	"time"
)

// processCPU is the CPU time of this process, user and system.
func processCPU() time.Duration { return rusage(syscall.RUSAGE_SELF) }

// threadCPU is the CPU time of the calling thread; negative: not known.
func threadCPU() time.Duration {
	const thread = 1 // Linux's RUSAGE_THREAD; package syscall has it on Linux only
	if runtime.GOOS != "linux" {
		return -1
	}
	return rusage(thread)
}

func rusage(who int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return -1
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
