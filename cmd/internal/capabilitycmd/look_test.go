package capabilitycmd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/git/pattern"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// TestPatternsOf: a grant that is proposed allows every path that was refused, and of many paths no folder beside them.
func TestPatternsOf(t *testing.T) {
	var few, many, flat []pluginapi.Change
	for i := range 60 {
		many = append(many, pluginapi.Change{Path: fmt.Appendf(nil, "src/a%d/[x]/f.go", i%3), Status: "M"}, pluginapi.Change{Path: fmt.Appendf(nil, "src/b/c%d/f.go", i), Status: "M"})
		flat = append(flat, pluginapi.Change{Path: fmt.Appendf(nil, "f%d", i), Status: "M"})
	}
	few = flat[:3]
	for name, c := range map[string]struct {
		changes []pluginapi.Change
		want    []string // nil: one for each path
	}{
		"few": {few, nil}, "files of no folder": {flat, nil}, "many": {many, []string{"src/a0/**", "src/a1/**", "src/a2/**", "src/b/**"}},
	} {
		got := patternsOf(c.changes)
		if c.want == nil && len(got) != len(c.changes) {
			t.Errorf("%s: %q", name, got)
		}
		for i := range c.changes {
			if !slices.ContainsFunc(got, func(p string) bool { return pattern.Match(p, string(c.changes[i].Path)) }) {
				t.Errorf("%s: %q does not allow %s", name, got, c.changes[i].Path)
			}
		}
		if c.want != nil && !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// FuzzEscape: the pattern of a name is one, and matches it; that of a name in UTF-8 matches nothing that differs by a byte.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"docs/{a,b}", "docs/a}b", "a]b", "a[b", `a\b`, "*", "?", "!a", "a-b", "\xff\xfe/\x80", "ä/,", "{", "}", "a{b}c,d", "[!x]", "é\xc3"} {
		f.Add(s, byte('x'))
	}
	f.Fuzz(func(t *testing.T, name string, other byte) {
		if pattern.Check(strings.Repeat("x", min(len(name), 400))) != nil || len(name) > 400 || strings.ContainsRune(name, 0) {
			t.Skip()
		}
		for _, e := range strings.Split(name, "/") {
			if e == "" || e == "." || e == ".." {
				t.Skip()
			}
		}
		p := escape(name)
		if err := pattern.Check(p); err != nil || !pattern.Match(p, name) {
			t.Fatalf("%q of %q: %v", p, name, err)
		}
		if changed := string(other) + name[1:]; utf8.ValidString(name) && changed != name && other != '/' && pattern.Match(p, changed) {
			t.Errorf("%q of %q matches %q", p, name, changed)
		}
	})
}
