//go:build !unix

package git

import "os"

// terminate ends a child.
func terminate(p *os.Process) error { return p.Kill() }
