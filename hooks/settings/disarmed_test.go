package settings_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/settings"
)

// TestDisarmed: a hook that stands in the settings and is not run, not waited for, or led astray is not reached.
func TestDisarmed(t *testing.T) {
	bin := t.TempDir()
	program := filepath.Join(bin, settings.Program)
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$1 $2\" >>\"$COVENANT_PROBE\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	keep := func(s string) string { return s }
	for what, c := range map[string]struct {
		agent, event string
		edit         func(string) string
		file, text   string // another file, of the project
		want         settings.State
	}{
		"as it is": {agent: "claude-code", event: "PreToolUse", edit: keep, want: settings.Reached},
		"waited for longer": {agent: "claude-code", event: "PreToolUse", edit: replace(`"onFailure": "block",
            "timeout": 10`, `"onFailure": "block", "timeout": 30`), want: settings.Reached},
		"not waited for":     {agent: "claude-code", event: "SessionStart", edit: replace(`"timeout": 10`, `"timeout": 0.001`), want: settings.Outdated},
		"waited for no time": {agent: "gemini", event: "BeforeTool", edit: func(s string) string { return strings.ReplaceAll(s, `"timeout": 10000`, `"timeout": 1`) }, want: settings.Outdated},
		"a condition":        {agent: "claude-code", event: "PreToolUse", edit: replace(`"onFailure"`, `"if": "Bash(nothing *)", "onFailure"`), want: settings.Outdated},
		"a matcher":          {agent: "claude-code", event: "PreToolUse", edit: replace(`"matcher": "*"`, `"matcher": "^$"`), want: settings.Outdated},
		"a matcher of a stop": {agent: "claude-code", event: "Stop", edit: replace(`"Stop": [
      {`, `"Stop": [
      {"matcher": "never",`), want: settings.Outdated},
		"in the background":          {agent: "claude-code", event: "PreToolUse", edit: replace(`"onFailure"`, `"async": true, "onFailure"`), want: settings.Outdated},
		"once":                       {agent: "claude-code", event: "PreToolUse", edit: replace(`"onFailure"`, `"once": true, "onFailure"`), want: settings.Outdated},
		"another shell":              {agent: "claude-code", event: "PreToolUse", edit: replace(`"onFailure"`, `"shell": "powershell", "onFailure"`), want: settings.Outdated},
		"another kind":               {agent: "claude-code", event: "SessionStart", edit: replace(`"type": "command"`, `"type": "prompt"`), want: settings.Outdated},
		"another home":               {agent: "claude-code", event: "PreToolUse", edit: keep, file: ".claude/settings.local.json", text: `{"env":{"XDG_CONFIG_HOME":"/nowhere"}}`, want: settings.Disabled},
		"a configuration of Git":     {agent: "claude-code", event: "PreToolUse", edit: keep, file: ".claude/settings.local.json", text: `{"env":{"GIT_CONFIG_COUNT":"1"}}`, want: settings.Disabled},
		"another PATH":               {agent: "claude-code", event: "PreToolUse", edit: keep, file: ".claude/settings.local.json", text: `{"env":{"PATH":"/bin:/usr/bin"}}`, want: settings.Missing},
		"its own name":               {agent: "claude-code", event: "PreToolUse", edit: keep, file: ".claude/settings.local.json", text: `{"env":{"COVENANT_IDENTITY":"coder"}}`, want: settings.Reached},
		"a plugin":                   {agent: "opencode", event: "tool.execute.before", edit: keep, want: settings.Reached},
		"a plugin that does nothing": {agent: "opencode", event: "tool.execute.before", edit: replace("if (r.failed) throw", "if (false) throw"), want: settings.Unreadable},
		"a plugin that ends":         {agent: "opencode", event: "tool.execute.before", edit: replace("function call", "return\nfunction call"), want: settings.Unreadable},
		"Copilot":                    {agent: "copilot", event: "preToolUse", edit: keep, want: settings.Reached},
		"Copilot, all of them off":   {agent: "copilot", event: "preToolUse", edit: replace("{", `{"disableAllHooks": true,`), want: settings.Disabled},
		"Copilot, elsewhere":         {agent: "copilot", event: "preToolUse", edit: replace(`"bash": "covenant-agent-hook copilot before-tool"`, `"cwd": "/", "bash": "covenant-agent-hook copilot before-tool"`), want: settings.Outdated},
		"Gemini":                     {agent: "gemini", event: "BeforeTool", edit: keep, want: settings.Reached},
		"Gemini, by its name":        {agent: "gemini", event: "BeforeTool", edit: replace("{", `{"hooksConfig": {"disabled": ["covenant-before-tool"]},`), want: settings.Disabled},
		"Gemini, another home":       {agent: "gemini", event: "BeforeTool", edit: keep, file: ".gemini/.env", text: "# x\nexport HOME='/nowhere'\n", want: settings.Disabled},
		"Cursor, open":               {agent: "cursor", event: "preToolUse", edit: replace(`"failClosed": true`, `"failClosed": false`), want: settings.Outdated},
	} {
		t.Run(what, func(t *testing.T) {
			home, project, state := world(t)
			p := settings.Place{Agent: c.agent, Home: home, Project: project, State: state}
			if _, err := settings.Install(p); err != nil {
				t.Fatal(err)
			}
			was := got(t, p)
			now := c.edit(was)
			if want := c.want; want == settings.Outdated && now == was {
				t.Fatalf("the edit changes nothing: %s", was)
			}
			put(t, p, now)
			if c.file != "" {
				at := filepath.Join(project, filepath.FromSlash(c.file))
				if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(c.text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			list, err := settings.Look(context.Background(), p, project, env)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range list {
				if s.Event == c.event && s.State != c.want {
					t.Errorf("%s is %s, not %s: %s", s.Event, s.State, c.want, s.Mend)
				}
				if s.State != settings.Reached && s.Mend == "" {
					t.Errorf("%s is %s, and nothing mends it", s.Event, s.State)
				}
			}
			if c.want == settings.Outdated { // the hint is true
				if _, err := settings.Install(p); err != nil {
					t.Fatal(err)
				}
				if list, _ := settings.Look(context.Background(), p, project, env); len(list) == 0 || list[0].State != settings.Reached {
					t.Errorf("installed anew it is %+v:\n%s", list, got(t, p))
				}
			}
		})
	}
}
