package hooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFit: what an agent is told as it starts is bounded, and ends with how to ask.
func TestFit(t *testing.T) {
	for _, n := range []int{0, 1, 12, 1000} {
		for _, size := range []int{10, 300, 5000} {
			lines := []string{"who you are"}
			for range n {
				lines = append(lines, strings.Repeat("g", size))
			}
			lines = append(lines, "what is refused", "how to ask")
			got := fit(lines)
			if len(got) > MaxContext || !strings.HasSuffix(got, "what is refused\nhow to ask\n") || !strings.HasPrefix(got, "who you are\n") {
				t.Errorf("%d lines of %d become %d bytes: %.80q", n, size, len(got), got)
			}
		}
	}
}

// TestFollow: a path leads where the system says, and links that go round end.
func TestFollow(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) string { return filepath.Join(dir, s) }
	if err := os.MkdirAll(at("a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"l": "a/b", "a/up": "..", "abs": dir + "/a", "round": "round2", "round2": "round", "dangling": "a/new"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Skip(err)
		}
	}
	for p, want := range map[string]string{
		"a/b/x": "a/b/x", "l/x": "a/b/x", "l/../x": "a/x", "a/up/x": "x", "a/up/l/x": "a/b/x", "abs/b/../c": "a/c", "none/../x": "x", "none/y": "none/y", "./a//b": "a/b", "l": "a/b", "dangling": "a/new",
	} {
		if got, err := follow(dir+"/"+p, true); err != nil || got != at(want) {
			t.Errorf("%s leads to %s, not %s (%v)", p, got, at(want), err)
		}
	}
	if got, err := follow(at("l"), false); err != nil || got != at("l") {
		t.Errorf("the link itself is %s, %v", got, err)
	}
	if got, err := follow(at("round"), true); err == nil {
		t.Errorf("a link that goes round leads to %s", got)
	}
}
