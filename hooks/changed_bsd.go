//go:build darwin || freebsd || netbsd

package hooks

import "syscall"

func inodeChanged(st *syscall.Stat_t) int64 { return st.Ctimespec.Nano() / 1e6 }
