// Package children finds and ends the processes that this one started, and what those left behind, where the system tells which they are: on Linux.
package children
