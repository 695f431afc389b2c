package settings_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"github.com/open-covenant/covenant-git/hooks/settings"
)

// world is a home, a project and a folder of states.
func world(t testing.TB) (home, project, state string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"home", "project"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "home"), filepath.Join(dir, "project"), filepath.Join(dir, "state")
}

var texts = map[string]string{
	"nothing in it":   "",
	"an empty object": "{}",
	"a line":          "{}\n",
	"tight":           `{"model":"opus","hooks":{"PreToolUse":[{"matcher":"Bash","hooks":[{"type":"command","command":"mine"}]}]}}`,
	"spread": `{
    "model": "opus",
    "hooks": {
        "PreToolUse": [
            {
                "matcher": "Bash",
                "hooks": [{"type": "command", "command": "mine"}]
            }
        ],
        "BeforeTool": [],
        "preToolUse": [{"command": "mine"}]
    },
    "zz": [1, 2]
}
`,
	"comments": `// mine
{
	// the model
	"model": "opus", // really
	/* hooks */
	"hooks": {
		"PreToolUse": [
			{"hooks": [{"type": "command", "command": "mine"}]} // mine, too
			// and no more
		], // after
	},
	// the end
}
// out
`,
	"empty hooks":      `{"hooks": {}}`,
	"no line end":      "{\n  \"a\": 1\n}",
	"carriage returns": "{\r\n  \"a\": 1,\r\n  \"hooks\": {}\r\n}\r\n",
	"a comment at the end": `{
  "a": 1 // one
}
`,
}

// TestThereAndBack: what was there comes back byte for byte, however often it was installed; what is not ours is never changed.
func TestThereAndBack(t *testing.T) {
	for _, name := range settings.Agents() {
		for what, text := range texts {
			for _, user := range []bool{false, true} {
				home, project, state := world(t)
				p := settings.Place{Agent: name, User: user, Home: home, Project: project, Binary: "/opt/covenant-agent-hook", State: state}
				if name == "opencode" {
					text = ""
				} else if err := errors.Join(os.MkdirAll(filepath.Dir(p.File()), 0o755), os.WriteFile(p.File(), []byte(text), 0o640)); err != nil {
					t.Fatal(err)
				}
				var first []byte
				for i := range 3 {
					done, err := settings.Install(p)
					if err != nil {
						t.Fatalf("%s, %s: %v", name, what, err)
					}
					b, err := os.ReadFile(p.File())
					if err != nil {
						t.Fatal(err)
					}
					if i == 0 {
						first = b
					}
					if done.Changed != (i == 0) || !bytes.Equal(b, first) {
						t.Errorf("%s, %s: installing it again changes it to\n%s", name, what, b)
					}
				}
				if strings.Contains(text, "//") == false && name != "opencode" && !json.Valid(first) {
					t.Errorf("%s, %s: it is no JSON any more:\n%s", name, what, first)
				}
				if n := strings.Count(string(first), "mine"); n != strings.Count(text, "mine") {
					t.Errorf("%s, %s: what is not ours was changed:\n%s", name, what, first)
				}
				list, err := settings.Look(context.Background(), p, project, os.Environ())
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range list {
					if s.State == settings.NotInstalled || s.State == settings.Renamed || s.State == settings.Outdated || s.State == settings.Unreadable {
						t.Errorf("%s, %s: %s is %s", name, what, s.Event, s.State)
					}
				}
				if got := settings.Installed(state); len(got) != 1 || got[0].File() != p.File() {
					t.Errorf("%s: %+v is installed", name, got)
				}
				if _, err := settings.Uninstall(p); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(p.File())
				if name == "opencode" {
					if entries, _ := os.ReadDir(project); !errors.Is(err, os.ErrNotExist) || !user && len(entries) > 0 {
						t.Errorf("%s leaves %s, %v", name, p.File(), entries)
					}
				} else if err != nil || string(b) != text {
					t.Errorf("%s, %s: it was\n%s\nand is\n%s (%v)", name, what, text, b, err)
				}
				if entries, _ := os.ReadDir(state); len(entries) > 0 {
					t.Errorf("%s leaves %v", name, entries)
				}
			}
		}
	}
}

// TestNothingThere: what is made is taken away, with its folders.
func TestNothingThere(t *testing.T) {
	for _, name := range settings.Agents() {
		home, project, state := world(t)
		p := settings.Place{Agent: name, Home: home, Project: project, State: state}
		if _, err := settings.Install(p); err != nil {
			t.Fatal(err)
		}
		if done, err := settings.Uninstall(p); err != nil || !done.Removed {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
		if entries, _ := os.ReadDir(project); len(entries) > 0 {
			t.Errorf("%s leaves %v", name, entries)
		}
	}
}

// TestChangedSince: what somebody changed since stays, and only what is ours goes.
func TestChangedSince(t *testing.T) {
	for what, text := range texts {
		home, project, state := world(t)
		p := settings.Place{Agent: "claude-code", Home: home, Project: project, State: state}
		if err := errors.Join(os.MkdirAll(filepath.Dir(p.File()), 0o755), os.WriteFile(p.File(), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := settings.Install(p); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(p.File())
		i := bytes.IndexByte(b, '{') + 1
		changed := string(b[:i]) + ` "theirs": true, ` + string(b[i:])
		if err := os.WriteFile(p.File(), []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := settings.Uninstall(p); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		b, _ = os.ReadFile(p.File())
		if !strings.Contains(string(b), `"theirs": true`) || strings.Contains(string(b), "covenant") || strings.Count(string(b), "mine") != strings.Count(text, "mine") || strings.Count(string(b), "//") != strings.Count(text, "//") {
			t.Errorf("%s became\n%s", what, b)
		}
		if _, err := hujson.Parse(b); err != nil {
			t.Errorf("%s became\n%s: %v", what, b, err)
		}
	}
}

// TestRefused: what is not understood is left as it is.
func TestRefused(t *testing.T) {
	for what, text := range map[string]string{
		"no JSON": "{", "a list": "[]", "hooks is a list": `{"hooks":[]}`, "an event is no list": `{"hooks":{"PreToolUse":{}}}`, "hooks twice": `{"hooks":{},"hooks":{}}`, "an event twice": `{"hooks":{"Stop":[],"Stop":[]}}`,
	} {
		home, project, state := world(t)
		p := settings.Place{Agent: "claude-code", Home: home, Project: project, State: state}
		if err := errors.Join(os.MkdirAll(filepath.Dir(p.File()), 0o755), os.WriteFile(p.File(), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := settings.Install(p); !errors.Is(err, settings.ErrFile) {
			t.Errorf("%s: %v", what, err)
		}
		if b, _ := os.ReadFile(p.File()); string(b) != text {
			t.Errorf("%s was changed to %s", what, b)
		}
	}
}

// TestLinks: a project does not choose what is written outside of it.
func TestLinks(t *testing.T) {
	for _, name := range settings.Agents() {
		home, project, state := world(t)
		p := settings.Place{Agent: name, Home: home, Project: project, State: state}
		victim := filepath.Join(home, "victim")
		if err := errors.Join(os.WriteFile(victim, []byte("{}\n"), 0o644), os.MkdirAll(filepath.Dir(p.File()), 0o755), os.Symlink(victim, p.File())); err != nil {
			t.Skip(err)
		}
		if _, err := settings.Install(p); !errors.Is(err, settings.ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(victim); string(b) != "{}\n" {
			t.Errorf("%s wrote %s", name, b)
		}
	}
}
