package capabilitycmd

import (
	"fmt"
	"slices"
	"testing"

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
