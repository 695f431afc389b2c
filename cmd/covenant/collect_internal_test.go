package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// Whoever needs more than a little is collected as usual: a limit that stayed would have the collector at work all the time.
func TestCollectLater(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	debug.FreeOSMemory() // of what ran before
	collectLater()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var held [][]byte
	for range 8 {
		held = append(held, make([]byte, 1<<20))
	}
	if runtime.ReadMemStats(&after); after.NumGC != before.NumGC {
		t.Errorf("%d collections for 8 MiB", after.NumGC-before.NumGC)
	}
	for range 56 {
		held = append(held, make([]byte, 1<<20))
	}
	for deadline := time.Now().Add(10 * time.Second); debug.SetMemoryLimit(-1) != math.MaxInt64; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the limit is %d with %d MiB in use", debug.SetMemoryLimit(-1), len(held))
		}
		held[0] = make([]byte, 1<<20)
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is %d", got)
	}
	runtime.KeepAlive(held)
}
