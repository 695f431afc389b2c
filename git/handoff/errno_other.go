//go:build !unix

package handoff

// notDir reports whether a path could not be looked at since something on its way is no directory: such a path is not there.
func notDir(error) bool { return false }
