package root

import (
	"testing"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
)

// A command that is built alone is found under the name that it has among all.
func TestNames(t *testing.T) {
	if len(commands) == 0 {
		t.Fatal("no commands")
	}
	for _, c := range commands {
		cmd := c.build(&cli.Env{})
		if cmd.Name() != c.name || len(cmd.Aliases) > 0 {
			t.Errorf("%s is called %s, %q", c.name, cmd.Name(), cmd.Aliases)
		}
	}
}

// Only what was asked for is built, and all where that is no command.
func TestFor(t *testing.T) {
	all := len(commands)
	for _, c := range []struct {
		args0 string
		args  []string
		want  int
	}{
		{"covenant", []string{"verify", "--json"}, 1},
		{"covenant", []string{"-C", "dir", "-C", "x", "log"}, 1},
		{"covenant", []string{"--version"}, 1},
		{"/usr/bin/covenant-show.exe", []string{"HEAD"}, 1},
		{"git-covenant", []string{"show"}, 1},
		{"covenant", nil, all},
		{"covenant", []string{"-C", "verify"}, all},
		{"covenant", []string{"help", "verify"}, all},
		{"covenant", []string{"__complete", ""}, all},
		{"covenant", []string{"verfy"}, all},
		{"covenant", []string{"--help"}, all},
		{"covenant-unknown", []string{"verify"}, all},
	} {
		env := &cli.Env{Args0: c.args0, Args: c.args}
		if got := len(For(env).Commands()); got != c.want {
			t.Errorf("%s %q builds %d commands, want %d", c.args0, c.args, got, c.want)
		}
	}
}
