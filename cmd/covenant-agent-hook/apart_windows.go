package main

import "syscall"

// detachedProcess is DETACHED_PROCESS of CreateProcess: without the console of who started it.
const detachedProcess = 0x8

func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess}
}
