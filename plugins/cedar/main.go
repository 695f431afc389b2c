// Command cedar is a capability plugin that asks policies in the language Cedar. It is
// installed as covenant-capability-cedar; docs/guide/plugins.md shows how it is used.
//
// Its configuration is files named *.cedar. Everything must be permitted by a policy and
// forbidden by none. Each changed path is asked about on its own.
package main

import "github.com/open-covenant/covenant-git/plugins/pluginwire"

func main() { pluginwire.Serve(checker{}) }
