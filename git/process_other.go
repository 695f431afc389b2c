//go:build !unix

package git

import (
	"os"
	"os/exec"
)

// terminate ends a child.
func terminate(p *os.Process) error { return p.Kill() }

// apart is for systems with process groups.
func apart(*exec.Cmd) {}

func terminateGroup(p *os.Process) error { return p.Kill() }

func killGroup(*os.Process) {}

// owner is for systems where files have numbers for owners.
func owner(os.FileInfo) uint32 { return 0 }
