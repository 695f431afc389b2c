package settings

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/tailscale/hujson"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// State is whether an agent reaches us at an event.
type State string

// States.
const (
	Reached      State = "reached" // the line in the settings was run, and it is us; the agent was not asked
	NotInstalled State = "not installed"
	Missing      State = "binary missing" // the line finds no program
	Shadowed     State = "shadowed"       // the line starts something else
	Outdated     State = "outdated"       // it is one that we would write differently now
	Renamed      State = "renamed"        // it stands under an event that the agent does not have, or another moment's
	Untrusted    State = "untrusted"      // the agent runs no hook that its person did not trust
	Disabled     State = "disabled"       // the agent is told to run no hooks
	Unreadable   State = "unreadable"     // the file is not what the agent reads
)

// Status is one event.
type Status struct {
	Event string
	State State
	File  string
	Line  string // that stands in the settings
	Mend  string
}

// Look tells for each event whether the agent reaches us, as far as can be told without it: it reads the settings, and runs the line that stands there with
// a probe, by a shell, in dir, as the agent would. env is the environment to run it in.
func Look(ctx context.Context, p Place, dir string, env []string) ([]Status, error) {
	l, ok := layouts[p.Agent]
	if !ok {
		return nil, fmt.Errorf("%w: no agent is called %.40q", ErrFile, p.Agent)
	}
	install := "covenant hooks install --agent " + p.Agent
	if p.User {
		install += " --user"
	}
	text, there, err := read(p.File())
	if err != nil {
		return nil, err
	}
	found, err := p.lines(text, there)
	out := make([]Status, 0, len(l.hooks))
	off, why := p.off()
	probes := map[string]State{}
	for _, h := range l.hooks {
		s := Status{Event: h.Event, File: p.File(), State: NotInstalled, Mend: install}
		switch at := slices.IndexFunc(found, func(f line) bool { return f.event == h.Event }); {
		case err != nil:
			s.State, s.Mend = Unreadable, err.Error()
		case at < 0:
		default:
			f := found[at]
			s.Line = f.command
			switch m, _ := ours(f.command); {
			case m != h.Moment:
				s.State = Renamed
			case off:
				s.State, s.Mend = Disabled, why
			case f.command != p.Command(h.Moment) || f.soft:
				s.State = Outdated
			case p.Agent == "codex" && !p.trusted(f):
				s.State, s.Mend = Untrusted, "look at it, and trust it: type /hooks in Codex"
			default:
				if _, done := probes[f.command]; !done {
					probes[f.command] = probe(ctx, f.command, p.Agent+" "+string(h.Moment), dir, env)
				}
				if s.State = probes[f.command]; s.State == Reached {
					s.Mend = ""
				} else if s.State == Missing {
					s.Mend = "put the folder of covenant-agent-hook on PATH, or: covenant hooks install --agent " + p.Agent + " --user"
				} else {
					s.Mend = "see what it starts: command -v " + Program
				}
			}
		}
		out = append(out, s)
	}
	for _, f := range found { // events that the agent does not have, or no more
		if !slices.ContainsFunc(l.hooks, func(h Hook) bool { return h.Event == f.event }) {
			out = append(out, Status{Event: f.event, State: Renamed, File: p.File(), Line: f.command, Mend: install})
		}
	}
	return out, nil
}

// line is one of ours in the settings.
type line struct {
	event, command string
	group, index   int
	handler        map[string]any
	matcher        string
	soft           bool // what fails lets the tool run, and need not
}

// lines finds ours.
func (p Place) lines(text []byte, there bool) ([]line, error) {
	if !there {
		return nil, nil
	}
	l := layouts[p.Agent]
	if p.Agent == "opencode" {
		_, rest, ok := bytes.Cut(text, []byte("const commands = "))
		said, _, end := bytes.Cut(rest, []byte("\n\n"))
		lines := map[string]string{}
		if !ok || !end || json.Unmarshal(said, &lines) != nil {
			return nil, fmt.Errorf("%w: the plugin is not ours", ErrFile)
		}
		var out []line
		for event, command := range lines {
			out = append(out, line{event: event, command: command})
		}
		return out, nil
	}
	plain, err := hujson.Standardize(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if _, _, err := parse(text); err != nil {
		return nil, err
	}
	var doc struct {
		Hooks map[string]json.RawMessage `json:"hooks"`
	}
	if err := json.Unmarshal(plain, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	var out []line
	for event, raw := range doc.Hooks {
		var entries []map[string]any
		if json.Unmarshal(raw, &entries) != nil {
			continue
		}
		for g, entry := range entries {
			handlers := []any{entry}
			if inner, ok := entry["hooks"].([]any); ok {
				handlers = inner
			}
			for i, h := range handlers {
				handler, _ := h.(map[string]any)
				for _, name := range []string{"command", "bash"} {
					s, _ := handler[name].(string)
					m, yes := ours(s)
					if !yes {
						continue
					}
					f := line{event: event, command: s, group: g, index: i, handler: handler}
					f.matcher, _ = entry["matcher"].(string)
					f.soft = m == agent.BeforeTool && (p.Agent == "claude-code" && handler["onFailure"] != "block" || p.Agent == "cursor" && handler["failClosed"] != true) ||
						f.matcher != "" && f.matcher != "*" && f.matcher != ".*" || l.entry != nil && handler["async"] == true
					out = append(out, f)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b line) int { return strings.Compare(a.event, b.event) })
	return out, nil
}

// off reports whether the agent is told to run no hooks, and what to do about it.
func (p Place) off() (bool, string) {
	switch p.Agent {
	case "claude-code":
		for _, f := range agent.Settings(p.Home, p.Project) {
			if strings.Contains(filepath.ToSlash(f), ".claude/settings") && flag(f, "disableAllHooks") {
				return true, "take disableAllHooks out of " + f
			}
		}
	case "gemini":
		for _, f := range agent.Settings(p.Home, p.Project) {
			if !strings.Contains(filepath.ToSlash(f), ".gemini/") {
				continue
			}
			if v, ok := setting(f, "hooksConfig", "enabled"); ok && v == false {
				return true, "set hooksConfig.enabled in " + f
			}
			if v, ok := setting(f, "tools", "enableHooks"); ok && v == false {
				return true, "set tools.enableHooks in " + f
			}
		}
	case "codex":
		if v, ok := p.codex()["features"].(map[string]any); ok && v["hooks"] == false {
			return true, "set features.hooks in " + filepath.Join(p.Home, ".codex", "config.toml")
		}
	}
	return false, ""
}

func setting(file string, names ...string) (any, bool) {
	text, there, err := read(file)
	if err != nil || !there {
		return nil, false
	}
	plain, err := hujson.Standardize(text)
	var v any
	if err != nil || json.Unmarshal(plain, &v) != nil {
		return nil, false
	}
	for _, name := range names {
		o, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = o[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

func flag(file, name string) bool {
	v, ok := setting(file, name)
	return ok && v == true
}

// codex is the configuration of Codex, empty where there is none.
func (p Place) codex() map[string]any {
	var v map[string]any
	text, there, err := read(filepath.Join(p.Home, ".codex", "config.toml"))
	if err != nil || !there || toml.Unmarshal(text, &v) != nil {
		return nil
	}
	return v
}

// trusted reports whether Codex was told to trust a hook: it keeps a digest of it. Which fields go into the digest differs between versions; any of those that are
// known will do. A digest of something else is of a hook that was changed since.
func (p Place) trusted(f line) bool {
	hooks, _ := p.codex()["hooks"].(map[string]any)
	state, _ := hooks["state"].(map[string]any)
	entry, _ := state[fmt.Sprintf("%s:%s:%d:%d", p.File(), snake(f.event), f.group, f.index)].(map[string]any)
	hash, _ := entry["trusted_hash"].(string)
	if hash == "" {
		return false
	}
	base := map[string]any{"type": "command", "command": f.command, "timeout": f.handler["timeout"], "async": false}
	doc := map[string]any{"event_name": snake(f.event), "hooks": []any{base}}
	if f.matcher != "" {
		doc["matcher"] = f.matcher
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(b)
	return hash == "sha256:"+hex.EncodeToString(sum[:])
}

func snake(s string) string {
	var b strings.Builder
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// patience bounds a probe.
const patience = 10 * time.Second

// ProbeVariable names, for a probed hook, the file to which it adds a line with its moment, and does nothing else.
const ProbeVariable = "COVENANT_PROBE"

// probe runs a line of the settings as an agent would.
func probe(ctx context.Context, command, moment, dir string, env []string) State {
	folder, err := os.MkdirTemp("", "covenant-probe-")
	if err != nil {
		return Shadowed
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "answer")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return Shadowed
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command) //nolint:gosec // it stands in the settings, and starts with each call of a tool
	cmd.Dir, cmd.Env = dir, append(slices.Clone(env), ProbeVariable+"="+file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("{}"), io.Discard, io.Discard
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	said, rerr := os.ReadFile(file) //nolint:gosec // our own
	switch {
	case rerr == nil && strings.TrimSpace(string(said)) == moment:
		return Reached
	case err != nil && cmd.ProcessState != nil && (cmd.ProcessState.ExitCode() == 127 || cmd.ProcessState.ExitCode() == 126):
		return Missing
	}
	return Shadowed
}
