package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPagesDoNotDrift(t *testing.T) {
	a, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d pages, then %d", len(a), len(b))
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs from one run to the next", name)
		}
	}
	for _, name := range []string{"man/covenant.1", "man/covenant-version.1", "cli/covenant.md", "cli/covenant_version.md", "man/covenant-witness-serve.1", "cli/covenant-witness_serve.md"} {
		if len(a[name]) == 0 {
			t.Errorf("no page %s", name)
		}
	}
}

func TestPagesOfGoneCommandsGo(t *testing.T) {
	top := t.TempDir()
	gone := filepath.Join(top, "docs", "man", "covenant-gone.1")
	if err := os.MkdirAll(filepath.Dir(gone), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gone, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write(top); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Errorf("the page is still there: %v", err)
	}
}

// TestEveryCommandIsExplained keeps the reference worth reading.
func TestEveryCommandIsExplained(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		switch {
		case c.Short == "":
			t.Errorf("%s has no short text", c.CommandPath())
		case strings.HasSuffix(c.Short, "."):
			t.Errorf("the short text of %s ends with a full stop", c.CommandPath())
		case c.Long == "":
			t.Errorf("%s has no long text", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	for _, p := range programs() {
		walk(p)
	}
}
