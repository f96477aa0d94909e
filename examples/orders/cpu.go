package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// cpuMeter adds up the CPU time that queries take in this process, by page. It
// is for SQLite, which runs in this process. A nil one measures nothing.
type cpuMeter struct {
	mu    sync.Mutex
	pages map[int]time.Duration // mu protects it
}

// measure runs f and charges its CPU time to page. The goroutine keeps its
// thread meanwhile, since the time is the thread's.
func (m *cpuMeter) measure(page int, f func()) {
	if m == nil {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadCPU()
	f()
	spent := threadCPU() - before
	if before < 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pages == nil {
		m.pages = map[int]time.Duration{}
	}
	m.pages[page] += spent
}

// take returns what was measured since the last call; nil is nothing.
func (m *cpuMeter) take() map[int]time.Duration {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.pages
	m.pages = nil
	return taken
}

// cpuUse is the CPU time used so far: by this process, and by everything that
// runs on the machine. A negative one is not known on this system.
type cpuUse struct{ process, machine time.Duration }

func readCPU() cpuUse { return cpuUse{process: processCPU(), machine: machineCPU()} }

// since is what was used between before and u.
func (u cpuUse) since(before cpuUse) cpuUse {
	spent := cpuUse{process: -1, machine: -1}
	if u.process >= 0 && before.process >= 0 {
		spent.process = u.process - before.process
	}
	if u.machine >= 0 && before.machine >= 0 {
		spent.machine = u.machine - before.machine
	}
	return spent
}

// machineCPU reads Linux's /proc/stat, which counts in hundredths of a second.
func machineCPU() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return -1
	}
	var user, nice, system, idle, wait, irq, softIRQ, steal int64
	_, err = fmt.Fscanf(bytes.NewReader(stat), "cpu %d %d %d %d %d %d %d %d",
		&user, &nice, &system, &idle, &wait, &irq, &softIRQ, &steal)
	if err != nil {
		return -1
	}
	return time.Duration(user+nice+system+irq+softIRQ+steal) * (time.Second / 100)
}
