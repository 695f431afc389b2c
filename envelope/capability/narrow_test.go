package capability

import (
	"slices"
	"testing"

	"github.com/open-covenant/covenant-git/git/pattern"
)

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		p, q             string
		within, disjoint bool
	}{
		{"src/**", "src/**", true, false},
		{"src/parser/**", "src/**", true, false},
		{"src/parser/*.go", "src/**", true, false},
		{"src/x.go", "src/*.go", true, false},
		{"src/x.go", "src/{x,y}.go", true, false},
		{"src/z.go", "src/{x,y}.go", false, true},
		{"src/*.go", "src/*", true, false},
		{"**/*.go", "**", true, false},
		{"src/**", "**/*", false, false},
		{"**", "src/**", false, false},
		{"src", "src/**", false, true},
		{"src/**", "src", false, true},
		{"docs/**", "src/**", false, true},
		{"docs/*.md", "src/**", false, true},
		{"src/**/b", "src/*/b", false, false},
		{"*/b", "*/c", false, true},
		{"**/b", "**/c", false, true},
		{"**/*.go", "**/*.md", false, false}, // nobody looks so far
		{"src/[ab]", "src/[abc]", false, false},
		{"src/{a,b}/**", "src/**", false, false},
		{"a/*", "a/*/*", false, true},
		{`docs/a\*b`, "docs/a*", true, false},
		{`docs/\*`, `docs/x`, false, true},
		{"refs/heads/agent/x", "refs/heads/agent/*", true, false},
		{"refs/heads/*", "refs/heads/agent/*", false, true},
	} {
		if Within(c.p, c.q) != c.within || Disjoint(c.p, c.q) != c.disjoint || Disjoint(c.q, c.p) != c.disjoint {
			t.Errorf("%s in %s: within %v, disjoint %v and %v", c.p, c.q, Within(c.p, c.q), Disjoint(c.p, c.q), Disjoint(c.q, c.p))
		}
	}
}

func TestBeyondAndApart(t *testing.T) {
	for _, c := range []struct {
		inner, outer  string
		beyond        string
		never, limits []string
	}{
		{`{"paths":["src/a"]}`, `{"paths":["src/**"]}`, "", nil, nil},
		{`{}`, `{"paths":["src/**"]}`, "paths", nil, nil},
		{`{"paths":["src/a"],"max_files":3}`, `{}`, "", nil, nil},
		{`{"paths":["docs/a"]}`, `{"paths":["src/**"]}`, "paths", []string{"paths"}, nil},
		{`{"paths":["src/a","docs/a"]}`, `{"paths":["src/**"]}`, "paths", nil, []string{"paths"}},
		{`{"paths":[]}`, `{"paths":["src/**"]}`, "", nil, nil},
		{`{"paths":["src/a"]}`, `{"paths":[]}`, "paths", []string{"paths"}, nil},
		{`{"modes":["100644"]}`, `{"modes":["100644","100755"]}`, "", nil, nil},
		{`{"modes":["120000"]}`, `{"modes":["100644"]}`, "modes", []string{"modes"}, nil},
		{`{"max_files":4,"max_bytes":0}`, `{"max_files":3,"max_bytes":9}`, "max_files", nil, []string{"max_files"}},
		{`{"intent":"a"}`, `{"intent":"b"}`, "intent", []string{"intent"}, nil},
		{`{"token_prefix":"abc"}`, `{"token_prefix":"ab"}`, "", nil, nil},
		{`{"token_prefix":"a"}`, `{"token_prefix":"ab"}`, "token_prefix", nil, []string{"token_prefix"}},
		{`{"token_prefix":"b"}`, `{"token_prefix":"ab"}`, "token_prefix", []string{"token_prefix"}, nil},
		{`{"apply":false}`, `{"apply":true}`, "apply", []string{"apply"}, nil},
		{`{"arguments":{"allow":{"q":1}}}`, `{"arguments":{"allow":{"q":2}}}`, "arguments", []string{"arguments"}, nil},
	} {
		inner, err1 := ParseScope([]byte(c.inner))
		outer, err2 := ParseScope([]byte(c.outer))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		never, limits := inner.Apart(&outer)
		if got := inner.Beyond(&outer); got != c.beyond || !slices.Equal(never, c.never) || !slices.Equal(limits, c.limits) {
			t.Errorf("%s in %s: beyond %q, never %q, limits %q", c.inner, c.outer, got, never, limits)
		}
	}
}

// FuzzWithin: no name contradicts what is said of two patterns.
func FuzzWithin(f *testing.F) {
	for _, s := range [][3]string{
		{"src/*.go", "src/**", "src/a.go"},
		{"**/b", "**/c", "a/b"},
		{"**/a/**", "**/**", "a/x"},
		{"a/**", "a/**/**", "a/b"},
		{"a/**/**", "a/*/**", "a/b/c"},
		{`\*`, "*", "*"},
		{"[a]/**", "*/**", "a/b"},
		{"a**/x", "a*/x", "ab/x"},
		{"**", "**/*", "x"},
		{"*/**/x", "**/x", "a/x"},
		{"{a,b}", "*", "b"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, p, q, name string) {
		if pattern.Check(p) != nil || pattern.Check(q) != nil || len(p)+len(q) > 200 {
			t.Skip()
		}
		in, out := pattern.Match(p, name), pattern.Match(q, name)
		if in && !out && Within(p, q) {
			t.Errorf("%q matches %q, which is within %q, which does not", name, p, q)
		}
		if in && out && Disjoint(p, q) {
			t.Errorf("%q matches both %q and %q", name, p, q)
		}
	})
}
