package pattern_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
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
		{"x?", "xa", "x xab x/ x\u00e9"},
		{"x??", "x\u00e9", "xa"},
		{"{src,lib}/**", "src/a lib/a/b", "src lib srcx/a"},
		{"{src/**,lib}", "src/a lib", "src lib/a"},
		{"{a,b{c,d}}/*", "a/x bc/x bd/x", "b/x a bcd/x"},
		{"*c/**", "c/a src/a xc/a/b", "c src"},
		{"a/**/z", "a/z a/b/z a/b/c/z", "a z a/zz a/b"},
		{"a/**/b/**/c", "a/b/c a/x/b/y/c a/b/b/c/c", "a/c a/b a/x/c"},
		{"**/a/**", "a/x b/a/x b/a/a", "a b/a"},
		{"src/*{,_gen}*", "src/a src/a_gen src/a_genx", "src/a/b src/secret/deep/x src"},
		{"src/{*,x}{*,y}", "src/a src/xy", "src/a/b"},
		{"{**,a}/x", "x b/x a/x b/c/x", "y"},
		{"a**b/c", "ab/c axxb/c", "a/b/c axb"},
		{`a/\**`, "a/* a/*x", "a/b a/b/c"},
		{"a[!x]b", "ayb a-b", "axb a/b ab"},
		{"a[^x]b", "ayb", "axb a/b"},
		{"a[/]b", "", "a/b"},
		{"a[.-0]b", "a.b a0b", "a/b"},
		{"[\ufffd]", "", "\xff"},
		{`{a\,b,c}`, "a,b c", "a b"},
		{`[{]x[}]`, "{x}", "x"},
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
	for _, p := range []string{"", "/a", "a/", "a//b", "./a", "../a", "a/../b", "a[", "{a", "a}", "{a,}", "{a,b/}", "{a,..}/b", strings.Repeat("{a,b}", 10), "a\x00", strings.Repeat("a", 2000)} {
		if pattern.Check(p) == nil || pattern.Match(p, p) {
			t.Errorf("%q is a pattern", p)
		}
	}
}

// Whatever a pattern is, an answer comes at once: grants and policies carry others' patterns.
func TestMatchTakesNoTime(t *testing.T) {
	names := []string{strings.Repeat("a/", 2000) + "a", strings.Repeat("a", 4000)}
	for _, p := range []string{
		strings.Repeat("**/a/", 200) + "b", strings.Repeat("*a", 500) + "b", strings.Repeat("{a,b}", 8) + "c", strings.Repeat("{,}", 300),
		strings.Repeat("{{a,b},", 100) + "c" + strings.Repeat("}", 100), strings.Repeat("{", 1000), strings.Repeat("{*,**/}", 7) + "b",
	} {
		for range 20 {
			for _, n := range names {
				pattern.Match(p, n)
			}
		}
	}
}

// FuzzMatch: what matches, matches in another library too, which goes by characters and lets "**" be nothing at the end; a name that holds no special character matches itself and nothing shorter.
func FuzzMatch(f *testing.F) {
	f.Add("src/a.go", "src/**")
	f.Fuzz(func(t *testing.T, name, p string) {
		if pattern.Match(p, name) && pattern.Check(p) != nil {
			t.Error("an invalid pattern matches")
		}
		plain := !strings.ContainsFunc(name+p, func(r rune) bool { return r >= 0x80 }) && !strings.ContainsAny(p, "[\\")
		if plain && !strings.ContainsAny(p, "{") && strings.Count(p, "*") < 12 && !slices.ContainsFunc(strings.Split(p, "/"), func(e string) bool { return e != "**" && strings.Contains(e, "**") }) && pattern.Match(p, name) { // it takes for ever over more
			if other, err := doublestar.Match(p, name); err != nil || !other {
				t.Errorf("%q matches %q, and does not elsewhere", p, name)
			}
		}
		if pattern.Check(name) == nil && !strings.ContainsAny(name, `*?[]{}\!`) && !pattern.Match(name, name) {
			t.Errorf("%q does not match itself", name)
		}
	})
}
