package settings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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
	Outdated     State = "outdated"       // it is not as we would write it now: it may not be run, or let a tool run where it fails
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
	env, blind := p.surroundings(env)
	if blind != "" && !off {
		off, why = true, blind
	}
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
			case f.command != p.Command(h.Moment) || !p.asWritten(h, f):
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
	handler, entry map[string]any // the handler is in the entry, or is it
}

// lines finds ours.
func (p Place) lines(text []byte, there bool) ([]line, error) {
	if !there {
		return nil, nil
	}
	l := layouts[p.Agent]
	if l.entry == nil {
		lines, ok := pluginLines(text)
		if !ok {
			return nil, fmt.Errorf("%w: the plugin is not as it was written", ErrFile)
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
					if _, yes := ours(s); !yes {
						continue
					}
					f := line{event: event, command: s, group: g, index: i, handler: handler, entry: entry}
					out = append(out, f)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b line) int { return strings.Compare(a.event, b.event) })
	return out, nil
}

// asWritten reports whether a hook stands in the settings as we would write it: what is added to it, or left out, may keep it from being run, or have a tool run where
// it fails. It may be waited for longer.
func (p Place) asWritten(h Hook, f line) bool {
	l := layouts[p.Agent]
	if l.entry == nil {
		return true
	}
	var want map[string]any
	b, err := json.Marshal(l.entry(p.Command(h.Moment), h))
	if err != nil || json.Unmarshal(b, &want) != nil {
		return false
	}
	inner := want
	if list, ok := want["hooks"].([]any); ok {
		inner, _ = list[0].(map[string]any)
		delete(want, "hooks")
		entry := maps.Clone(f.entry)
		delete(entry, "hooks")
		if !maps.EqualFunc(want, entry, same) {
			return false
		}
	}
	return maps.EqualFunc(inner, f.handler, same)
}

// same compares a member that we would write with the one that is there. Numbers are times to wait.
func same(want, there any) bool {
	if n, ok := want.(float64); ok {
		m, ok := there.(float64)
		return ok && m >= n
	}
	return want == there
}

// surroundings are the environment that an agent's hooks get when its settings add to that of its own, and what of that leads them astray: to other keys, another Git, or another
// configuration of it. Which program they find is seen when they are run.
func (p Place) surroundings(env []string) ([]string, string) {
	astray := func(name string) bool {
		covenant := strings.HasPrefix(name, "COVENANT_") && name != "COVENANT_IDENTITY" && name != "COVENANT_INTENT"
		return covenant || strings.HasPrefix(name, "GIT_CONFIG_") || slices.Contains([]string{"GIT_EXEC_PATH", "HOME", "USERPROFILE", "XDG_CONFIG_HOME"}, name)
	}
	env, why := slices.Clone(env), ""
	for _, f := range agent.Settings(p.Home, p.Project) {
		for name, value := range p.variables(f) {
			env = append(env, name+"="+value)
			if astray(name) && why == "" {
				why = "take " + name + " out of " + f
			}
		}
	}
	return env, why
}

// variables are those that a file of an agent sets.
func (p Place) variables(file string) map[string]string {
	out := map[string]string{}
	switch slashed := filepath.ToSlash(file); {
	case p.Agent == "claude-code" && strings.Contains(slashed, "/.claude/settings"):
		v, _ := setting(file, "env")
		list, _ := v.(map[string]any)
		for name, value := range list {
			out[name] = fmt.Sprint(value)
		}
	case p.Agent == "gemini" && strings.HasSuffix(slashed, "/.gemini/.env"):
		text, _, err := read(file)
		if err != nil {
			return nil
		}
		for l := range strings.Lines(string(text)) {
			name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "export "), "=")
			if name = strings.TrimSpace(name); ok && !strings.HasPrefix(name, "#") {
				out[name] = strings.Trim(strings.TrimSpace(value), `'"`)
			}
		}
	}
	return out
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
			for _, at := range []string{"hooksConfig", "hooks"} {
				v, _ := setting(f, at, "disabled")
				list, _ := v.([]any)
				if slices.ContainsFunc(list, func(x any) bool { s, _ := x.(string); return strings.Contains(s, "covenant-") }) {
					return true, "take it out of " + at + ".disabled in " + f
				}
			}
		}
	case "copilot":
		if flag(p.File(), "disableAllHooks") {
			return true, "take disableAllHooks out of " + p.File()
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
	if matcher, _ := f.entry["matcher"].(string); matcher != "" {
		doc["matcher"] = matcher
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
