//go:build unix

package main

import "golang.org/x/sys/unix"

func fcntlGetFD(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0) }
