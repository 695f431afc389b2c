package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// event has an agent's hook say one event, as a coding agent does, and holds its answer to what it must be.
func (r *repo) event(name, event string, fields map[string]any, want string) error {
	say := map[string]any{"session_id": "bench", "transcript_path": "/none", "cwd": r.dir, "hook_event_name": name}
	for k, v := range fields {
		say[k] = v
	}
	text, err := json.Marshal(say)
	if err != nil {
		return err
	}
	file := filepath.Join(filepath.Dir(r.dir), "event.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	out, err := r.b.out(r.dir, r.env, "sh", "-c", `exec "$0" claude-code "$1" <"$2"`, filepath.Join(r.b.bin, "covenant-agent-hook"), event, file)
	if err == nil && !strings.Contains(out, want) {
		err = fmt.Errorf("%s answered %q, without %q", event, out, want)
	}
	return err
}

// sealed returns what waits until a ledger of the log has moved: a stop in a large work tree goes on when it is answered.
func (r *repo) sealed() (func() error, error) {
	env := append(slices.Clone(r.env), "GIT_TRACE2_EVENT=0") // it is no child of what is measured
	look := func() (string, error) {
		return r.b.out(r.dir, env, "git", "for-each-ref", "--format=%(objectname)", "refs/covenant/ledger/audit")
	}
	was, err := look()
	return func() error {
		for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if now, err := look(); err != nil || now != was {
				return err
			}
			if time.Now().After(end) {
				return errors.New("a stop was not sealed")
			}
		}
	}, err
}

// agents measures the moments of an agent's tool in a work tree of so many files, with a log of so many entries.
func (b *bench) agents(files, entries int) error {
	r, err := b.repo(files, 100)
	if err != nil {
		return err
	}
	if err := r.grants(10); err != nil {
		return err
	}
	r.env = append(r.env, "COVENANT_IDENTITY=coder")
	if entries > 0 {
		if err := r.record(entries); err != nil {
			return err
		}
	}
	write := map[string]any{"tool_name": "Write", "tool_use_id": "t", "tool_input": map[string]any{"file_path": fileName(0), "content": "x\n"}}
	command := map[string]any{"tool_name": "Bash", "tool_use_id": "t", "tool_input": map[string]any{"command": "go vet ./... && go test -count=1 ./... 2>&1 | tail -n 20 >" + fileName(1)}}
	n := 0
	edited := func() error {
		n++
		if err := os.WriteFile(filepath.Join(r.dir, fileName(0)), fmt.Append(nil, n, "\n"), 0o600); err != nil {
			return err
		}
		return r.event("PostToolUse", "after-tool", write, "")
	}
	moments := []struct {
		what string
		bar  time.Duration
		say  func() error

		sealed bool
	}{
		{"session start", 25 * time.Millisecond, func() error {
			return r.event("SessionStart", "session-start", map[string]any{"source": "startup"}, "You are coder")
		}, false},
		{"before a tool, an edit, warm", 10 * time.Millisecond, func() error { return r.event("PreToolUse", "before-tool", write, "") }, false},
		{"before a tool, a command, warm", 10 * time.Millisecond, func() error { return r.event("PreToolUse", "before-tool", command, "") }, false},
		{"before a tool, an edit, cold", 25 * time.Millisecond, func() error {
			if err := os.RemoveAll(filepath.Join(r.dir, ".git", "covenant", "cache")); err != nil {
				return err
			}
			return r.event("PreToolUse", "before-tool", write, "")
		}, false},
		{"after a tool, an edit", 0, edited, false},
		{"stop, after an edit", 20 * time.Millisecond, func() error { return r.event("Stop", "stop", map[string]any{"stop_hook_active": false}, "") }, true},
	}
	for _, m := range moments {
		var took []time.Duration
		once := func() error {
			done := func() error { return nil }
			if m.sealed { // there is something to seal each time
				if err := edited(); err != nil {
					return err
				}
				if done, err = r.sealed(); err != nil {
					return err
				}
			}
			start := time.Now()
			if err := m.say(); err != nil {
				return err
			}
			took = append(took, time.Since(start))
			return done()
		}
		for range 15 {
			if err := once(); err != nil {
				return err
			}
		}
		kids, err := r.children(once)
		if err != nil {
			return err
		}
		what, note := fmt.Sprintf("agent: %s, %d files, %d entries", m.what, files, entries), fmt.Sprintf(" (%d git children)", kids)
		if m.bar == 0 {
			row(what, ms(median(took[:15]))+note, "-", true)
		} else if err := b.held(what, median(took[1:15]), note, m.bar); err != nil {
			return err
		}
	}
	out, err := r.covenant("audit", "log", "--kind", "file_written", "--json")
	if err != nil {
		return err
	}
	if got := strings.Count(out, "\n"); got < 15 {
		return fmt.Errorf("%d writes are on record, of 15 and more: the hooks told nothing", got)
	}
	return nil
}
