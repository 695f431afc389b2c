// Command gitleaks is a redactor that knows the rules of gitleaks. It is installed as
// covenant-redactor-gitleaks; docs/guide/plugins.md shows how it is used.
package main

import "github.com/open-covenant/covenant-git/plugins/pluginwire"

func main() { pluginwire.ServeRedactor(redactor{}) }
