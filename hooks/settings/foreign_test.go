package settings_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/settings"
)

// put writes the settings of a place.
func put(t testing.TB, p settings.Place, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(p.File()), 0o755), os.WriteFile(p.File(), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func got(t testing.TB, p settings.Place) string {
	t.Helper()
	b, err := os.ReadFile(p.File())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExact: what somebody wrote into the settings since is there byte for byte when our hooks are gone, and so is what was there before.
func TestExact(t *testing.T) {
	for _, name := range settings.Agents() {
		if name == "opencode" {
			continue
		}
		for what, text := range texts {
			if !strings.Contains(text, "{") {
				continue
			}
			for _, edit := range []func(string) string{
				func(s string) string { return strings.Replace(s, "{", "{ /* theirs */", 1) },
				func(s string) string { return s + "\n// theirs\n" },
				func(s string) string { return "\r\n" + strings.Replace(s, `"opus"`, `"haiku"`, 1) + " " },
				func(s string) string { return strings.Replace(s, "\"a\": 1", "\"a\": 1,\r\n \"b\": 2", 1) },
			} {
				home, project, state := world(t)
				p := settings.Place{Agent: name, Home: home, Project: project, State: state}
				put(t, p, text)
				if _, err := settings.Install(p); err != nil {
					t.Fatal(err)
				}
				now := edit(got(t, p))
				put(t, p, now)
				if _, err := settings.Uninstall(p); err != nil {
					t.Fatal(err)
				}
				if back := got(t, p); back != edit(text) {
					t.Errorf("%s, %s: it was\n%q\nwith ours\n%q\nand is\n%q", name, what, edit(text), now, back)
				}
			}
		}
	}
}

// TestLines: a file whose lines end as on Windows keeps that, whoever edits what in it.
func TestLines(t *testing.T) {
	home, project, state := world(t)
	p := settings.Place{Agent: "claude-code", Home: home, Project: project, State: state}
	put(t, p, "{\r\n  \"hooks\": {\r\n    \"Stop\": [\r\n      {\"hooks\": [{\"type\": \"command\", \"command\": \"mine\"}]}\r\n    ]\r\n  }\r\n}\r\n")
	if _, err := settings.Install(p); err != nil {
		t.Fatal(err)
	}
	now := got(t, p)
	if strings.Count(now, "\n") != strings.Count(now, "\r\n") {
		t.Errorf("ends of lines are mixed: %q", now)
	}
	put(t, p, strings.Replace(now, `"command": "mine"`, `"command": "theirs"`, 1))
	if _, err := settings.Uninstall(p); err != nil {
		t.Fatal(err)
	}
	if back := got(t, p); back != "{\r\n  \"hooks\": {\r\n    \"Stop\": [\r\n      {\"hooks\": [{\"type\": \"command\", \"command\": \"theirs\"}]}\r\n    ]\r\n  }\r\n}\r\n" {
		t.Errorf("it became %q", back)
	}
}

// TestWrappers: a line that is not one we write is its author's, also where it starts us.
func TestWrappers(t *testing.T) {
	lines := []string{
		"timeout 5 covenant-agent-hook claude-code before-tool", "/home/ada/covenant-agent-hook-and-log claude-code before-tool", "covenant-agent-hook claude-code before-tool | tee log", "echo covenant-agent-hook",
		"sh -c 'covenant-agent-hook claude-code before-tool'", "X=1 covenant-agent-hook claude-code before-tool", "covenant-agent-hook claude-code before-tool --mine", "'/opt/my covenant-agent-hook claude-code before-tool", "covenant-agent-hook mine before-tool",
	}
	for _, line := range lines {
		text := fmt.Sprintf("{\n  \"hooks\": {\"PreToolUse\": [{\"matcher\": \"Bash\", \"hooks\": [{\"type\": \"command\", \"command\": %q}]}], \"Stop\": []}\n}\n", line)
		for _, lost := range []bool{false, true} { // what we know of the file
			home, project, state := world(t)
			p := settings.Place{Agent: "claude-code", Home: home, Project: project, State: state}
			put(t, p, text)
			if _, err := settings.Uninstall(p); err != nil || got(t, p) != text {
				t.Errorf("%s: without an installation it becomes %s, %v", line, got(t, p), err)
			}
			if _, err := settings.Install(p); err != nil {
				t.Fatal(err)
			}
			put(t, p, strings.Replace(got(t, p), "{", "{ // theirs", 1))
			if lost {
				if err := os.RemoveAll(state); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := settings.Uninstall(p); err != nil {
				t.Fatal(err)
			}
			back, want := got(t, p), strings.Replace(text, "{", "{ // theirs", 1)
			if lost {
				want = strings.Replace(want, `, "Stop": []`, "", 1) // nobody knows that it was there
			}
			if back != want {
				t.Errorf("%s, %v: it was\n%s\nand is\n%s", line, lost, want, back)
			}
		}
	}
	for _, binary := range []string{"/opt/covenant-agent-hook", "/opt/my programs/it's/covenant-agent-hook", `C:\covenant\covenant-agent-hook.exe`} {
		home, _, state := world(t)
		p := settings.Place{Agent: "claude-code", User: true, Home: home, Binary: binary, State: state}
		if _, err := settings.Install(p); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
		if _, err := settings.Uninstall(p); err != nil || strings.Contains(got(t, p), "covenant") {
			t.Errorf("%s stays: %s, %v", binary, got(t, p), err)
		}
	}
}

// TestOneFile: hooks of others in the file that Copilot reads of ours stay, and a plugin that somebody changed is not touched.
func TestOneFile(t *testing.T) {
	home, project, state := world(t)
	p := settings.Place{Agent: "copilot", Home: home, Project: project, State: state}
	text := `{"version": 1, "hooks": {"preToolUse": [{"type": "command", "bash": "mine"}, {"type": "command", "bash": "log covenant-agent-hook"}]}}`
	put(t, p, text)
	if _, err := settings.Install(p); err != nil || strings.Count(got(t, p), "mine") != 1 || !strings.Contains(got(t, p), "copilot before-tool") {
		t.Errorf("%s, %v", got(t, p), err)
	}
	if _, err := settings.Uninstall(p); err != nil || got(t, p) != text {
		t.Errorf("%s, %v", got(t, p), err)
	}
	home, project, state = world(t)
	p = settings.Place{Agent: "opencode", Home: home, Project: project, State: state}
	if _, err := settings.Install(p); err != nil {
		t.Fatal(err)
	}
	for _, changed := range []string{got(t, p) + "export const Mine = 1\n", "export const Mine = 'covenant-agent-hook'\n", ""} {
		put(t, p, changed)
		if _, err := settings.Install(p); !errors.Is(err, settings.ErrFile) || got(t, p) != changed {
			t.Errorf("%q becomes %q, %v", changed, got(t, p), err)
		}
		if _, err := settings.Uninstall(p); !errors.Is(err, settings.ErrFile) || got(t, p) != changed {
			t.Errorf("%q becomes %q, %v", changed, got(t, p), err)
		}
	}
}

// TestTwice: settings in which any object has a name twice are left as they are: who reads them may take either.
func TestTwice(t *testing.T) {
	for _, text := range []string{
		`{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"covenant-agent-hook claude-code stop","command":"mine"}]}]}}`,
		`{"hooks":{"Stop":[{"hooks":[],"ho\u006fks":[{"type":"command","command":"mine"}]}]}}`,
		`{"env":{"A":"1", /* c */ "A":"2"}}`,
	} {
		home, project, state := world(t)
		p := settings.Place{Agent: "claude-code", Home: home, Project: project, State: state}
		put(t, p, text)
		if _, err := settings.Install(p); !errors.Is(err, settings.ErrFile) || got(t, p) != text {
			t.Errorf("%s becomes %s, %v", text, got(t, p), err)
		}
		if _, err := settings.Uninstall(p); !errors.Is(err, settings.ErrFile) || got(t, p) != text {
			t.Errorf("%s becomes %s, %v", text, got(t, p), err)
		}
	}
}

// TestLinkedSince: a project that becomes a link after the installation does not choose what is written, or removed, outside of it either.
func TestLinkedSince(t *testing.T) {
	for _, name := range settings.Agents() {
		for _, folder := range []bool{false, true} {
			home, project, state := world(t)
			p := settings.Place{Agent: name, Home: home, Project: project, State: state}
			if _, err := settings.Install(p); err != nil {
				t.Fatal(err)
			}
			text := got(t, p)
			at, victim := p.File(), filepath.Join(home, "victim")
			target := victim
			if folder {
				at, target = filepath.Dir(at), filepath.Join(victim, filepath.Base(at))
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.Rename(at, target), os.Symlink(target, at)); err != nil {
				t.Skip(err)
			}
			if _, err := settings.Uninstall(p); !errors.Is(err, settings.ErrFile) {
				t.Errorf("%s, %v: %v", name, folder, err)
			}
			if got(t, p) != text {
				t.Errorf("%s, %v: it became %s", name, folder, got(t, p))
			}
		}
	}
}
