package capability

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
	var many, flat, wide []pluginapi.Change
	for i := range 60 {
		many = append(many, pluginapi.Change{Path: fmt.Appendf(nil, "src/a%d/[x]/f.go", i%3), Status: "M"}, pluginapi.Change{Path: fmt.Appendf(nil, "src/b/c%d/f.go", i), Status: "M"})
		flat = append(flat, pluginapi.Change{Path: fmt.Appendf(nil, "f%d", i), Status: "M"})
		wide = append(wide, pluginapi.Change{Path: fmt.Appendf(nil, "%0200d", i), Status: "M"})
	}
	for name, c := range map[string]struct {
		changes []pluginapi.Change
		want    []string // nil: one for each path
	}{
		"few": {flat[:3], nil}, "files of no folder": {flat, nil}, "many": {many, []string{"src/a0/**", "src/a1/**", "src/a2/**", "src/b/**"}},
		"more than can be shown":      {wide, []string{"**"}},
		"a name longer than patterns": {[]pluginapi.Change{{Path: []byte("a/" + strings.Repeat("x", 2000)), Status: "M"}}, []string{"a/**"}},
	} {
		got := patternsOf(c.changes, 50)
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

// TestNeeded: what is needed allows what was asked, and nothing that differs from it in one thing.
func TestNeeded(t *testing.T) {
	ask := func(change ...func(*Query)) *Query {
		q := &Query{Action: Commit, Ref: "refs/heads/a*", Intent: "fix-42", Changes: []pluginapi.Change{
			{Path: []byte("ä b/[x].md"), Status: "M", OldMode: "100644", NewMode: "100644", Size: 10},
			{Path: []byte("run"), Status: "A", NewMode: "100755", Size: 5},
			{Path: []byte("gone"), Status: "D", OldMode: "120000"},
		}}
		for _, f := range change {
			f(q)
		}
		return q
	}
	refuses := func(s *Scope, q *Query) string {
		return s.refuses(&pluginapi.Request{Action: q.Action, Ref: q.Ref, Intent: q.Intent, Changes: q.Changes, Resource: q.Resource})
	}
	s, err := Needed(ask(), 50)
	if err != nil {
		t.Fatal(err)
	}
	if why := refuses(&s, ask()); why != "" {
		t.Errorf("%+v refuses: %s", s, why)
	}
	for name, f := range map[string]func(*Query){
		"ref": func(q *Query) { q.Ref = "refs/heads/ab" }, "intent": func(q *Query) { q.Intent = "" }, "path": func(q *Query) { q.Changes[1].Path = []byte("runs") },
		"name that looks alike": func(q *Query) { q.Changes[0].Path = []byte("ä b/x.md") },
		"mode":                  func(q *Query) { q.Changes[0].NewMode = "120000" }, "size": func(q *Query) { q.Changes[0].Size = 11 },
	} {
		if why := refuses(&s, ask(f)); why == "" {
			t.Errorf("another %s is allowed", name)
		}
	}
	want := []string{"--path", "gone", "--path", "run", "--path", `ä b/\[x\].md`, "--ref", `refs/heads/a\*`, "--mode", "100644", "--mode", "100755", "--max-bytes", "15", "--intent", "fix-42"}
	if got := s.Flags(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	// Folders allow no more files than there were.
	var list []pluginapi.Change
	for i := range 9 {
		list = append(list, pluginapi.Change{Path: fmt.Appendf(nil, "src/f%d", i), Status: "A", NewMode: "100644"})
	}
	s, err = Needed(&Query{Action: Commit, Changes: list}, 5)
	if err != nil || !slices.Equal(s.Flags(), []string{"--path", "src/**", "--mode", "100644", "--max-files", "9"}) {
		t.Errorf("%q %v", s.Flags(), err)
	}

	for flags, q := range map[string]*Query{
		`--host a.b --host \[x\]`: {Action: Connect, Resource: map[string]any{"hosts": []any{"a.b", "[x]"}}}, "": {Action: Connect}, `--path .env --path ~/a\*`: {Action: ReadSecret, Resource: map[string]any{"paths": []any{".env", "~/a*"}}},
	} {
		if s, err := Needed(q, 50); err != nil || strings.Join(s.Flags(), " ") != flags || refuses(&s, q) != "" {
			t.Errorf("%+v: %q %v", q, s.Flags(), err)
		}
	}

	for _, q := range []*Query{
		{Action: "repo.comit"},
		{Action: "memory.write", Resource: map[string]any{"apply": false}},
		{Action: "memory.read.working", Resource: map[string]any{"tiers": []any{"longterm"}}},
		{Action: "peers.revoke", Resource: map[string]any{"peer_pubkey_b58": "P"}},
	} {
		if s, err := Needed(q, 50); err == nil {
			t.Errorf("%s: %+v", q.Action, s)
		}
	}
	for _, q := range []*Query{
		{Action: "memory.read", Resource: map[string]any{"created_at": 5.0, "before_ms": 7.0, "tiers": []any{"working"}}},
		{Action: "memory.compact.apply", Resource: map[string]any{"before_ms": 7.0, "tiers": []any{"working"}, "detach_stale_parents": true}},
		{Action: "a2a.repair.requeue", Resource: map[string]any{"duplicate_risk": "operator_accepted", "peer_pubkey_b58": "P"}},
		{Action: Push, Ref: "refs/heads/main"},
	} {
		if s, err := Needed(q, 50); err != nil || refuses(&s, q) != "" {
			t.Errorf("%s: %+v %v", q.Action, s, err)
		}
	}
}

// TestFlags: what no flag can say is said as JSON, and never left out.
func TestFlags(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`:                                nil,
		`{"paths":[]}`:                      {"--scope", `{"paths":[],"version":1}`},
		`{"paths":["a"],"refs":[]}`:         {"--scope", `{"paths":["a"],"refs":[],"version":1}`},
		`{"tiers":["working"]}`:             {"--scope", `{"tiers":["working"],"version":1}`},
		`{"max_files":0,"paths":["a","b"]}`: {"--path", "a", "--path", "b", "--max-files", "0"},
	} {
		s, err := ParseScope([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Flags(); !slices.Equal(got, want) {
			t.Errorf("%s: %q", text, got)
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
