package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// above names the processes that this one was started by, the nearest first, each by its number and the moment it began.
func above() []string {
	var out []string
	for pid := os.Getppid(); pid > 1 && len(out) < 32; {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // behind the name, which may hold anything
		if err != nil || len(f) < 20 {
			break
		}
		out = append(out, fmt.Sprintf("%d.%s", pid, f[19]))
		if pid, err = strconv.Atoi(string(f[1])); err != nil {
			break
		}
	}
	return out
}
