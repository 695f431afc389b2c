package provenancecmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
)

func TestRepositoryURI(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"https://example.com/a/b.git", "https://example.com/a/b.git"},
		{"https://ada:secret@example.com/a?token=x#y", "https://example.com/a"},
		{"https://token@example.com/a", "https://example.com/a"},
		{"ssh://git@example.com:2222/a", "ssh://example.com:2222/a"},
		{"git@example.com:a/b.git", "ssh://example.com/a/b.git"},
		{"example.com:a", "ssh://example.com/a"},
		{"file:///srv/a", "file:///srv/a"},
		{"/srv/a b", "file:///srv/a%20b"},
		{"../a", ""},
		{"origin", ""},
		{"", ""},
		{"ext::sh -c touch", ""},
	} {
		got := repositoryURI(c.in)
		if got != c.want {
			t.Errorf("%q is %q, want %q", c.in, got, c.want)
		}
		if strings.Contains(got, "secret") || strings.Contains(got, "token") {
			t.Errorf("%q tells a secret", got)
		}
	}
}

func TestEnds(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{nil, []string{"HEAD"}},
		{[]string{"a..b"}, []string{"a", "b"}},
		{[]string{"..b~3"}, []string{"HEAD", "b"}},
		{[]string{"a^.."}, []string{"a", "HEAD"}},
		{[]string{"^a", "@"}, []string{"a", "@"}},
		{[]string{"HEAD@{1}..main^{commit}"}, []string{"HEAD", "main"}},
	} {
		if got := ends(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%q has the ends %q, want %q", c.in, got, c.want)
		}
	}
}

// TestOutput: a file is there whole for yes and no, and left alone for no answer.
func TestOutput(t *testing.T) {
	for _, c := range []struct {
		answer error
		want   string
	}{{nil, "new"}, {cli.No(nil), "new"}, {cli.No(errors.New("x")), "new"}, {errors.New("x"), "old"}, {cli.Usage("x"), "old"}} {
		dir := t.TempDir()
		env := &cli.Env{Dir: dir, Out: os.Stderr}
		file := filepath.Join(dir, "out")
		if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := withOutput(env, "out", func(e *cli.Env) error {
			if _, err := fmt.Fprint(e.Out, "new"); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != "old" {
				t.Errorf("half a report shows: %q, %v", b, err)
			}
			return c.answer
		})
		if cli.ExitCode(err) != cli.ExitCode(c.answer) {
			t.Errorf("%v became %v", c.answer, err)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != c.want {
			t.Errorf("after %v the file has %q, %v", c.answer, b, err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("%d files are left, %v", len(list), err)
		}
	}
}
