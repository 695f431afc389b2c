package pattern_test

import (
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git/pattern"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no string // names, one space between
	}{
		{"src/**", "src/a src/a/b src/.hidden", "src srcx/a Src/a src2 other/src/a"},
		{"src/*", "src/a", "src/a/b src"},
		{"**/*.go", "a.go d/a.go d/e/a.go", "a.GO a.go/x"},
		{"**", "a a/b", ""},
		{"refs/heads/agent/*", "refs/heads/agent/x", "refs/heads/agent refs/heads/agent/x/y refs/heads/main"},
		{"refs/heads/{main,dev}", "refs/heads/main refs/heads/dev", "refs/heads/devel"},
		{"a[bc]", "ab ac", "aa a[bc]"},
		{`a\*`, "a*", "ab"},
		{"caf\u00e9", "caf\u00e9", "cafe\u0301 cafe"},
		{"x?", "xa", "x xab x/"},
	} {
		for _, n := range strings.Fields(c.yes) {
			if !pattern.Match(c.pattern, n) {
				t.Errorf("%q does not match %q", c.pattern, n)
			}
		}
		for _, n := range strings.Fields(c.no) {
			if pattern.Match(c.pattern, n) {
				t.Errorf("%q matches %q", c.pattern, n)
			}
		}
	}
	if !pattern.Match("src/**", "src/\xff\xfe") {
		t.Error("a path that is no UTF-8 is not matched as bytes")
	}
	for _, p := range []string{"", "/a", "a/", "a//b", "./a", "../a", "a/../b", "a[", "{a", "a\x00", strings.Repeat("a", 2000)} {
		if pattern.Check(p) == nil || pattern.Match(p, p) {
			t.Errorf("%q is a pattern", p)
		}
	}
}

// FuzzMatch: a name that holds no special character matches itself and nothing shorter.
func FuzzMatch(f *testing.F) {
	f.Add("src/a.go", "src/**")
	f.Fuzz(func(t *testing.T, name, p string) {
		if pattern.Match(p, name) && pattern.Check(p) != nil {
			t.Error("an invalid pattern matches")
		}
		if pattern.Check(name) == nil && !strings.ContainsAny(name, `*?[]{}\!`) && !pattern.Match(name, name) {
			t.Errorf("%q does not match itself", name)
		}
	})
}
