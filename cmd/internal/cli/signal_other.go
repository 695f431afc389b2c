//go:build !unix

package cli

import (
	"os"
	"os/exec"
)

func cancelChild(p *os.Process) error { return p.Kill() }

func signalCode(*exec.ExitError) int { return ExitNoAnswer }
