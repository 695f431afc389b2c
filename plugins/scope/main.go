// Command scope is the built-in capability checker as a plugin of its own: what the
// smallest plugin looks like, and what any other host of the wire can start.
package main

import (
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
)

func main() { pluginwire.Serve(capability.Checker{}) }
