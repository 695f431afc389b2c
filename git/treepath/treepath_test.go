package treepath_test

import (
	"testing"

	"github.com/open-covenant/covenant-git/git/treepath"
)

func TestUnsafe(t *testing.T) {
	for path, safe := range map[string]bool{
		"a": true, "a/b": true, ".gitignore": true, "git": true, ".github/x": true, "a..b": true, "...": true, "c:": true, `a\b`: true, `..\a`: true, "git~2": true, " ": true, ".git-x": true, "\xff": true, "a\nb": true, "a/b.c": true, "a/..b": true,
		"": false, "/a": false, "a//b": false, "a/": false, ".": false, "./a": false, "..": false, "a/../b": false, ".git": false, "a/.GIT/b": false, ".git/x": false, "GIT~1": false, ".git.": false, ".git ": false,
		".git:x": false, ".Git::$INDEX_ALLOCATION/x": false, ".g\u200dit": false, "\ufeff.git": false, `a\.git\b`: false, "a/./b": false,
	} {
		if why := treepath.Unsafe(path); (why == "") != safe {
			t.Errorf("%q: %q", path, why)
		}
	}
}
