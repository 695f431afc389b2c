//go:build !linux

package main

import "os"

// peak: only Linux tells it in KiB; elsewhere it is not measured.
func peak(*os.ProcessState) int64 { return 0 }
