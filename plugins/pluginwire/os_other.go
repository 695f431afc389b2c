//go:build !linux

package pluginwire

import (
	"errors"
	"net"
	"os"
	"os/exec"
)

const memoryPath = ""

func ownExecutable() (string, error) { return os.Executable() }

func inMemory(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func seal(*os.File) error { return errors.ErrUnsupported }

// ending waits for the end of the process. What is left of its group is killed a moment later.
func ending(cmd *exec.Cmd) { _ = cmd.Wait() }

// listens: here a directory of mode 0700 is what keeps others out.
func listens(net.Conn, int) error { return nil }

// Adopt finds what left its process group, on Linux only.
func Adopt() error { return errors.ErrUnsupported }

func spawn(cmd *exec.Cmd) error { return cmd.Start() }

func forget(int) {}

func sweep() {}
