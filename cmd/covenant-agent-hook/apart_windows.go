package main

import (
	"errors"
	"os"
	"syscall"
)

// detachedProcess is DETACHED_PROCESS of CreateProcess: without the console of who started it.
const detachedProcess = 0x8

func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess}
}

// unlinked is a payload in a file that has no name. Here each has one.
func unlinked([]byte) (*os.File, error) { return nil, errors.New("it would have to be waited for") }
