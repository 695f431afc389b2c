package install

import (
	"os/exec"
	"strings"
	"testing"
)

// FuzzSection: a section comes out of any text as it went in, and is in the way of
// neither the interpreter line nor the line that starts husky 8.
func FuzzSection(f *testing.F) {
	for _, s := range []string{
		"", "\n", "x", "#!/bin/sh", "#!/bin/sh\n", "#!/bin/sh\r\necho\r\n", "# comment\n\n. \"$(dirname -- \"$0\")/_/husky.sh\"\nnpm test",
		"#!/usr/bin/env sh\n. _/husky.sh", "echo\n# <<< covenant\n", "# >>> covenantry\n",
	} {
		f.Add(s, "/opt/bin/covenant-hook", true)
	}
	f.Fuzz(func(t *testing.T, text, binary string, input bool) {
		if strings.ContainsRune(binary, 0) || strings.Contains(binary, "\n# ") || index(text, sectionBegin) >= 0 {
			t.Skip()
		}
		m := "post-commit"
		if input {
			m = "post-rewrite"
		}
		with := insert(text, m, call{binary: binary}, "")
		rest, found, made := remove(with)
		if !found || made || rest != text {
			t.Errorf("%q with a section and without it is %q (found %v, made %v)", text, rest, found, made)
		}
		if strings.HasPrefix(text, "#!") {
			line, _, _ := strings.Cut(text, "\n")
			if !strings.HasPrefix(with, line+"\n") {
				t.Errorf("the section comes before %q", line)
			}
		}
		if again := insert(rest, m, call{binary: binary}, ""); again != with {
			t.Errorf("another time it is\n%s\nnot\n%s", again, with)
		}
	})
}

// TestScriptsAreShell: what we write is shell, also when the path is odd, and a
// program is started by exactly that path.
func TestScriptsAreShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	for _, binary := range []string{"/bin/x", "/a b/x", "/it's/x", "/$HOME/`x`/x", "/a\\b/x", "/ü\n/x", `/"/x`} {
		for m := range known {
			c := call{binary: binary}
			for name, text := range map[string]string{
				"file": string(file(m, c, false)), "section": section(m, c, ""), "command": c.command(m) + ` "$@"`,
			} {
				cmd := exec.Command(sh, "-n")
				cmd.Stdin = strings.NewReader(text)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s for %s at %q: %v %s\n%s", name, m, binary, err, out, text)
				}
			}
			script := strings.Join(c.run(m)[1:2], "") + ` printf %s "$covenant_bin"`
			if out, err := exec.Command(sh, "-c", script).Output(); err != nil || string(out) != binary {
				t.Errorf("the shell reads %q as %q, %v", binary, out, err)
			}
		}
	}
}

func TestParseFile(t *testing.T) {
	text := string(file("post-commit", call{binary: "/x"}, true))
	for _, c := range []struct {
		text                 string
		ours, intact, folder bool
	}{
		{text, true, true, true},
		{string(file("pre-push", call{}, false)), true, true, false},
		{text + "echo more\n", true, false, true},
		{"#!/bin/sh\necho\n", false, false, false},
		{"", false, false, false},
	} {
		ours, intact, folder := parseFile([]byte(c.text))
		if ours != c.ours || intact != c.intact || folder != c.folder {
			t.Errorf("ours %v, intact %v, folder %v of\n%s", ours, intact, folder, c.text)
		}
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string][2]int{
		"git version 2.39.5\n":             {2, 39},
		"git version 2.54.0.windows.1\n":   {2, 54},
		"git version 2.50.1 (Apple Git-1)": {2, 50},
		"git version 3.0.rc1":              {3, 0},
		"git version 2.55":                 {2, 55},
		"hub version 2":                    {},
		"git version 2.x":                  {},
		"":                                 {},
	} {
		if got := version(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
