//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"syscall"
)

func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// unlinked is a payload in a file that has no name, and is gone when nobody has it open.
func unlinked(payload []byte) (*os.File, error) {
	f, err := os.CreateTemp("", "covenant-stop-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = f.Write(payload)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
