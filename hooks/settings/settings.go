// Package settings puts covenant-agent-hook into the settings that coding agents read, beside whatever is there, and takes it out again without a
// trace: what was there before comes back byte for byte where nobody changed the file since, and where somebody did, only what is ours goes.
//
// Files are JSON, with comments where the agent allows them; order, comments, white space and all that is not ours are kept. What is ours is a line as we write it: one that
// starts something else, which may start us, is its author's. OpenCode reads a folder of plugins, of which one is ours alone.
package settings

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// Program is what agents start.
const Program = "covenant-agent-hook"

// ErrFile says that a file is not what its agent reads: it is left as it is.
var ErrFile = errors.New("these settings can't be read")

// maxFile bounds, in bytes, the settings that are read.
const maxFile = 4 << 20

// A Hook is one event of an agent at which we are called.
type Hook struct {
	Event  string // as the agent has it
	Moment agent.Moment
}

// layout is how an agent is told of hooks.
type layout struct {
	project, user string // files, below the work tree and the home
	hooks         []Hook
	// entry is what stands in the list of an event. nil: the file is a plugin, which is ours alone.
	entry func(command string, h Hook) any
	// version is a member that the agent wants at the top of the file; "" for none.
	version string
	// step is what a person has to do once, "" for nothing.
	step string
}

type object = map[string]any

var layouts = map[string]layout{
	"claude-code": {
		project: ".claude/settings.json", user: ".claude/settings.json",
		hooks: []Hook{{"SessionStart", agent.SessionStart}, {"UserPromptSubmit", agent.Prompt}, {"PreToolUse", agent.BeforeTool}, {"PostToolUse", agent.AfterTool}, {"PostToolUseFailure", agent.AfterTool}, {"SubagentStart", agent.SubagentStart}, {"SubagentStop", agent.SubagentStop}, {"Stop", agent.Stop}, {"SessionEnd", agent.SessionEnd}},
		entry: func(command string, h Hook) any {
			handler := object{"type": "command", "command": command, "timeout": 10}
			group := object{"hooks": []any{handler}}
			if h.Moment == agent.BeforeTool {
				handler["onFailure"] = "block"
			}
			if h.Moment == agent.BeforeTool || h.Moment == agent.AfterTool {
				group["matcher"] = "*"
			}
			return group
		},
		step: "Claude Code shows changed hooks once: look at /hooks in a running session, or start a new one",
	},
	"codex": {
		project: ".codex/hooks.json", user: ".codex/hooks.json",
		hooks: []Hook{{"SessionStart", agent.SessionStart}, {"UserPromptSubmit", agent.Prompt}, {"PreToolUse", agent.BeforeTool}, {"PostToolUse", agent.AfterTool}, {"SubagentStart", agent.SubagentStart}, {"SubagentStop", agent.SubagentStop}, {"Stop", agent.Stop}},
		entry: func(command string, _ Hook) any {
			return object{"hooks": []any{object{"type": "command", "command": command, "timeout": 10}}}
		},
		step: "Codex runs a hook only after you trusted it, and says nothing until then: type /hooks in Codex",
	},
	"cursor": {
		project: ".cursor/hooks.json", user: ".cursor/hooks.json", version: "1",
		hooks: []Hook{{"sessionStart", agent.SessionStart}, {"beforeSubmitPrompt", agent.Prompt}, {"preToolUse", agent.BeforeTool}, {"postToolUse", agent.AfterTool}, {"postToolUseFailure", agent.AfterTool}, {"subagentStart", agent.SubagentStart}, {"subagentStop", agent.SubagentStop}, {"stop", agent.Stop}, {"sessionEnd", agent.SessionEnd}},
		entry: func(command string, h Hook) any {
			e := object{"command": command}
			if h.Moment == agent.BeforeTool {
				e["failClosed"] = true
			}
			return e
		},
	},
	"gemini": {
		project: ".gemini/settings.json", user: ".gemini/settings.json",
		hooks: []Hook{{"SessionStart", agent.SessionStart}, {"BeforeAgent", agent.Prompt}, {"BeforeTool", agent.BeforeTool}, {"AfterTool", agent.AfterTool}, {"AfterAgent", agent.Stop}, {"SessionEnd", agent.SessionEnd}},
		entry: func(command string, h Hook) any {
			return object{"hooks": []any{object{"type": "command", "name": "covenant-" + string(h.Moment), "command": command, "timeout": 10000}}}
		},
		step: "Gemini CLI asks once whether it may run hooks of a project: say yes in a running session",
	},
	"copilot": {
		project: ".github/hooks/covenant.json", user: ".copilot/hooks/covenant.json", version: "1",
		hooks: []Hook{{"sessionStart", agent.SessionStart}, {"userPromptSubmitted", agent.Prompt}, {"preToolUse", agent.BeforeTool}, {"postToolUse", agent.AfterTool}, {"postToolUseFailure", agent.AfterTool}, {"agentStop", agent.Stop}, {"sessionEnd", agent.SessionEnd}},
		entry: func(command string, _ Hook) any { return object{"type": "command", "bash": command, "timeoutSec": 10} },
	},
	"opencode": {
		project: ".opencode/plugins/covenant.js", user: ".config/opencode/plugins/covenant.js",
		hooks: []Hook{{"session.created", agent.SessionStart}, {"tool.execute.before", agent.BeforeTool}, {"tool.execute.after", agent.AfterTool}, {"session.idle", agent.Stop}},
		step:  "OpenCode loads plugins as it starts: start it anew",
	},
}

// Agents are the agents whose settings are known, in order.
func Agents() []string {
	out := make([]string, 0, len(layouts))
	for name := range layouts {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Place says which settings are meant.
type Place struct {
	Agent   string
	User    bool   // of the user; else of the project
	Home    string // the user's
	Project string // the work tree
	Binary  string // absolute path of covenant-agent-hook; "": it is not here
	State   string // a folder where what was there before is kept
}

// File is the file of the settings.
func (p Place) File() string {
	l := layouts[p.Agent]
	if p.User {
		return filepath.Join(p.Home, filepath.FromSlash(l.user))
	}
	return filepath.Join(p.Project, filepath.FromSlash(l.project))
}

// Step is what a person has to do once after an installation, "" for nothing. We never do it for them.
func (p Place) Step() string { return layouts[p.Agent].step }

// Command is the line that stands in the settings. Those of a project go to other machines, and find the program on PATH.
func (p Place) Command(m agent.Moment) string {
	program := Program
	if p.User && p.Binary != "" {
		program = quote(p.Binary)
	}
	return program + " " + p.Agent + " " + string(m)
}

func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ours reports whether a command line is one that an installation writes, whatever folder the program was in, and for which moment.
func ours(command string) (agent.Moment, bool) {
	i := strings.LastIndexByte(command, ' ')
	if i < 0 || !agent.IsMoment(command[i+1:]) {
		return "", false
	}
	k := strings.LastIndexByte(command[:i], ' ')
	if k < 0 || !agent.Known(command[k+1:i]) {
		return "", false
	}
	program := command[:k]
	if inner, ok := strings.CutPrefix(program, "'"); ok {
		program = strings.ReplaceAll(strings.TrimSuffix(inner, "'"), `'\''`, "'")
	}
	base := program[strings.LastIndexAny(program, `/\`)+1:]
	return agent.Moment(command[i+1:]), quote(program) == command[:k] && strings.TrimSuffix(base, ".exe") == Program
}

// Known reports whether an agent's settings are known.
func Known(name string) bool { _, ok := layouts[name]; return ok }

// Done is what became of the settings.
type Done struct {
	File    string
	Changed bool
	Removed bool // the file, which was ours alone, is gone
}

// before is what was there, as it is kept.
type before struct {
	Agent  string `json:"agent"`
	File   string `json:"file"`
	User   bool   `json:"user"`
	There  bool   `json:"there"`
	Text   []byte `json:"text,omitempty"`
	SHA256 string `json:"sha256"` // of the file as we left it
	Folder string `json:"folder,omitempty"`
}

// base is what our hooks were put into.
func (b before) base() []byte {
	if !b.There || len(bytes.TrimSpace(b.Text)) == 0 {
		return []byte("{}\n")
	}
	return b.Text
}

func (p Place) kept() string {
	sum := sha256.Sum256([]byte(p.File()))
	return filepath.Join(p.State, hex.EncodeToString(sum[:8])+".json")
}

func (p Place) recall() (before, bool) {
	var b before
	text, err := os.ReadFile(p.kept())
	if err != nil || json.Unmarshal(text, &b) != nil || b.File != p.File() {
		return before{}, false
	}
	return b, true
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func read(file string) ([]byte, bool, error) {
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = fmt.Errorf("%w: %s is no file, or too large", ErrFile, file)
	}
	if err != nil {
		return nil, false, err
	}
	b, err := os.ReadFile(file) //nolint:gosec // settings of this user
	return b, err == nil, err
}

// write replaces a file as a whole, through a link where it is one, and keeps its mode.
func write(file string, b []byte) error {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	mode := os.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".covenant-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// Install puts our hooks into the settings, or renews them.
func Install(p Place) (Done, error) {
	l, ok := layouts[p.Agent]
	done := Done{File: p.File()}
	if !ok {
		return done, fmt.Errorf("%w: no agent is called %.40q", ErrFile, p.Agent)
	}
	if err := p.within(); err != nil {
		return done, err
	}
	now, there, err := read(done.File)
	if err != nil {
		return done, err
	}
	was, known := p.recall()
	if !known || !there || digest(now) != was.SHA256 { // somebody changed it since: what is there now, without ours, is what comes back
		old := was
		was = before{Agent: p.Agent, File: done.File, User: p.User, There: there}
		if there {
			if was.Text, was.There, err = p.rest(now, old, known); err != nil {
				return done, err
			}
		}
	}
	text, err := p.text(l, was)
	if err != nil {
		return done, err
	}
	if bytes.Equal(text, now) && there && known {
		return done, nil
	}
	if was.Folder == "" {
		if was.Folder, err = makeFolder(filepath.Dir(done.File)); err != nil {
			return done, err
		}
	}
	was.SHA256 = digest(text)
	kept, err := json.Marshal(was)
	if err != nil {
		return done, err
	}
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return done, err
	}
	if err := write(p.kept(), kept); err != nil { // first, so that what was there is never lost
		return done, err
	}
	done.Changed = true
	return done, write(done.File, text)
}

// text is the settings with our hooks, where was is what was there before.
func (p Place) text(l layout, was before) ([]byte, error) {
	if l.entry == nil {
		return plugin(func(h Hook) string { return p.Command(h.Moment) }, l.hooks), nil
	}
	return with(was.Text, was.There, l, p)
}

// rest is what is in settings that is not ours, and whether there is any such: else the file is ours alone. What somebody else wrote is there byte for byte.
func (p Place) rest(now []byte, was before, known bool) (text []byte, there bool, err error) {
	l := layouts[p.Agent]
	if known && digest(now) == was.SHA256 {
		return was.Text, was.There, nil
	}
	if l.entry == nil {
		if isPlugin(now) {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("%w: %s is somebody else's, or was changed; put it elsewhere", ErrFile, p.File())
	}
	if known {
		if left, err := p.text(l, was); err == nil && digest(left) == was.SHA256 {
			if text, ok := cutOut(now, left, was.base()); ok {
				return text, true, nil
			}
		}
	}
	had := func(string) bool { return false }
	if known && was.There {
		had = names(was.Text)
	}
	text, err = without(now, had)
	return text, err != nil || !known || was.There || !bare(text), err
}

// within refuses settings of a project that a link leads out of it: who made the project would choose what is written.
func (p Place) within() error {
	if p.User {
		return nil
	}
	root, err := filepath.EvalSymlinks(p.Project)
	if err != nil {
		return err
	}
	for at := p.File(); at != p.Project && at != filepath.Dir(at); at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err != nil {
			if info, lerr := os.Lstat(at); lerr == nil && info.Mode()&os.ModeSymlink != 0 {
				return fmt.Errorf("%w: %s is a link to nothing", ErrFile, at)
			}
			continue
		}
		if real != root && !strings.HasPrefix(real, root+string(filepath.Separator)) {
			return fmt.Errorf("%w: %s leads out of the project", ErrFile, at)
		}
	}
	return nil
}

// makeFolder makes a folder, and returns the first that was not there; "" where all were.
func makeFolder(dir string) (string, error) {
	first := ""
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || d == filepath.Dir(d) {
			break
		}
		first = d
	}
	return first, os.MkdirAll(dir, 0o755) //nolint:gosec // as the agents make them
}

// Uninstall takes our hooks out.
func Uninstall(p Place) (Done, error) {
	done := Done{File: p.File()}
	if !Known(p.Agent) {
		return done, fmt.Errorf("%w: no agent is called %.40q", ErrFile, p.Agent)
	}
	if err := p.within(); err != nil {
		return done, err
	}
	now, there, err := read(done.File)
	if err != nil {
		return done, err
	}
	was, known := p.recall()
	if there {
		text, there, err := p.rest(now, was, known)
		switch {
		case err != nil:
			return done, err
		case !there:
			done.Changed, done.Removed = true, true
			err = remove(done.File, was.Folder)
		case !bytes.Equal(text, now):
			done.Changed = true
			err = write(done.File, text)
		}
		if err != nil {
			return done, err
		}
	}
	if err := os.Remove(p.kept()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return done, err
	}
	return done, nil
}

// remove takes a file away, and the folders that were made for it where nothing else is in them; folder is the first of these, "" for none.
func remove(file, folder string) error {
	if err := os.Remove(file); err != nil || folder == "" {
		return err
	}
	for d := filepath.Dir(file); os.Remove(d) == nil && d != folder; {
		d = filepath.Dir(d)
	}
	return nil
}

// Installed are the places whose settings we wrote, as a folder of states tells.
func Installed(state string) []Place {
	entries, _ := os.ReadDir(state)
	var out []Place
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		var b before
		text, err := os.ReadFile(filepath.Join(state, e.Name())) //nolint:gosec // our own
		if err != nil || json.Unmarshal(text, &b) != nil || !Known(b.Agent) {
			continue
		}
		p := Place{Agent: b.Agent, User: b.User, State: state}
		if root, ok := strings.CutSuffix(filepath.ToSlash(b.File), "/"+layouts[b.Agent].project); ok && !b.User {
			p.Project = filepath.FromSlash(root)
		} else if root, ok := strings.CutSuffix(filepath.ToSlash(b.File), "/"+layouts[b.Agent].user); ok && b.User {
			p.Home = filepath.FromSlash(root)
		}
		if p.File() == b.File {
			out = append(out, p)
		}
	}
	return out
}
