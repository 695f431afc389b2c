//go:build !unix

package provenance

import "io/fs"

// inode: this system has none that a stat tells; path and host bind the replica.
func inode(fs.FileInfo) string { return "" }
