//go:build !unix

package main

import "time"

// processCPU is not known here.
func processCPU() time.Duration { return -1 }

// threadCPU is not known here.
func threadCPU() time.Duration { return -1 }
