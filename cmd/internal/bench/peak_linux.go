package main

import (
	"os"
	"syscall"
)

// peak returns the peak memory of an ended process in KiB.
func peak(p *os.ProcessState) int64 {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss
	}
	return 0
}
