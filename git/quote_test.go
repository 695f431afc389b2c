package git_test

import (
	"testing"

	"github.com/open-covenant/covenant-git/git"
)

// Names come back as bytes, however odd: what is looked up in a seal is the path itself.
func TestUnquote(t *testing.T) {
	for quoted, want := range map[string]string{
		`src/a.go`:           "src/a.go",
		`"src\"\377.go"`:     "src\"\xff.go",
		"\"src\\\"\xff.go\"": "src\"\xff.go",
		`"a\tb\\c\a\n"`:      "a\tb\\c\a\n",
		`"\303\251"`:         "\u00e9",
		`"broken\9"`:         `"broken\9"`,
	} {
		if got := git.Unquote(quoted); got != want {
			t.Errorf("%s is %q, not %q", quoted, got, want)
		}
	}
}
