// Package agent reads what the tools of coding agents say at their hooks, and writes what they understand. It is
// pure: an [Event] comes of bytes, an [Output] of a [Reply], and neither knows of a repository.
//
// Each agent has a name (claude-code, codex, cursor, gemini, copilot, opencode, and generic for any other), a way to
// say an event, and a way to be answered. What they say becomes one event; docs/spec/agent-hooks.md has the table.
package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Moment is when an agent calls.
type Moment string

// Moments.
const (
	SessionStart  Moment = "session-start" // also after a resumption, a clearing or a compaction
	Prompt        Moment = "prompt"
	BeforeTool    Moment = "before-tool"
	AfterTool     Moment = "after-tool"
	Stop          Moment = "stop" // the agent means to be done
	SubagentStart Moment = "subagent-start"
	SubagentStop  Moment = "subagent-stop"
	SessionEnd    Moment = "session-end"
)

// Moments are those that a command line may name, in the order in which they come.
var Moments = []Moment{SessionStart, Prompt, BeforeTool, AfterTool, SubagentStart, SubagentStop, Stop, SessionEnd}

// Kind is what a tool does, as far as its name tells.
type Kind string

// Kinds.
const (
	Edit  Kind = "edit"  // it writes the paths it names
	Shell Kind = "shell" // it runs a command
	Read  Kind = "read"  // it changes nothing
	MCP   Kind = "mcp"   // a server that somebody added provides it
	Other Kind = "other"
)

// Limits of a payload.
const (
	MaxPayload = 16 << 20 // bytes
	maxDepth   = 64
	maxTokens  = 1 << 20
	maxPaths   = 4096
	maxPath    = 4096 // bytes
	maxName    = 128  // bytes of the name of a tool
	maxWord    = 256  // bytes of a session, a turn, a call
	maxCommand = 1 << 20
)

// ErrPayload says that a payload is not what its agent is documented to send. Nothing of it may be believed.
var ErrPayload = errors.New("not a payload of this hook")

func bad(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrPayload, fmt.Sprintf(format, a...))
}

// Event is what an agent says, in one form for all.
type Event struct {
	Agent   string
	Moment  Moment
	Name    string // of the event, as the agent has it
	Session string // "" where the agent does not say
	Turn    string
	Call    string // of a tool
	Sub     string // the sub-agent that does it, "" for the agent itself
	SubKind string
	Tool    string
	Kind    Kind
	Paths   []string // that the tool names: it writes them where Kind is Edit
	Command string   // of a shell
	Cwd     string
	Roots   []string // where the agent says that it works
	Source  string   // why a session starts, or ends
	Active  bool     // at a stop: the agent goes on since a hook asked for it; it must not be asked again
	Model   string
	Version string // of the agent
	Said    string // by a person, at a prompt
	// Transcript is the file in which the agent keeps what was said in the session; "" where it does not say.
	Transcript string
	Failed     bool // after a tool
	Usage      Usage

	Arguments json.RawMessage // as they stood, without white space around
	Result    json.RawMessage
	Edits     []Change // the texts that an edit puts in
}

// Usage is what a turn or session took, where the agent says.
type Usage struct {
	Input, Output int64 // tokens
	CostMicros    int64 // millionths of a dollar
	Millis        int64
}

// Change is a text that an edit puts into a file.
type Change struct {
	Path  string
	Text  string
	Whole bool // it is all there is in the file then
	All   bool // it comes wherever it may
	// Head and Tail are how many of its first and last lines were there before.
	Head, Tail int
}

// Action is what is granted for a call of a tool: tool.call.<name>, where letters are small, and bytes that no action has are
// "_0x" and two hexadecimal digits. "_0x" itself is written so, and no two names are one but for the case of letters. "" where
// the name is too long for an action.
func Action(tool string) string {
	const prefix, digits = "tool.call.", "0123456789abcdef"
	b := []byte(prefix)
	for i := range len(tool) {
		c := tool[i]
		switch {
		case c >= 'A' && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_' && !escaped(tool[i:]):
			b = append(b, c)
		default:
			b = append(b, '_', '0', 'x', digits[c>>4], digits[c&15])
		}
	}
	if len(b) > 128 || len(b) == len(prefix) {
		return ""
	}
	return string(b)
}

// escaped reports whether a text begins as what Action writes for a byte.
func escaped(s string) bool {
	return len(s) >= 3 && s[0] == '_' && s[1] == '0' && (s[2] == 'x' || s[2] == 'X')
}

// Reply is the answer to an event.
type Reply struct {
	Deny    string // why the tool must not run, and what to do; "": it may, as far as we are asked
	Context string // what the agent is told as its session starts
	Again   string // at a stop: what is to be done first; "": nothing
}

// Output is what a hook's process does to give a reply.
type Output struct {
	Stdout, Stderr []byte
	Code           int
}

// agents are the contracts, by name.
var agents = map[string]*contract{}

// contract is how one agent talks.
type contract struct {
	name   string
	events map[string]Moment // by the agent's own names
	// decode fills in an event of which agent, moment and name are known.
	decode func(p payload, e *Event) error
	// encode writes the reply to an event.
	encode func(e *Event, r Reply) Output
}

// Names are the agents whose payloads are read.
func Names() []string {
	out := make([]string, 0, len(agents))
	for name := range agents {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Known reports whether there is an agent of this name.
func Known(name string) bool { return agents[name] != nil }

// Decode reads what an agent says at a moment. moment is what the settings of the agent name: where the payload says
// another it is refused, since one of both is wrong. The error wraps [ErrPayload].
func Decode(name string, moment Moment, b []byte) (*Event, error) {
	c := agents[name]
	if c == nil {
		return nil, bad("no agent is called %.40q", name)
	}
	p, err := parse(b)
	if err != nil {
		return nil, err
	}
	e := &Event{Agent: name, Moment: moment}
	if err := c.decode(p, e); err != nil {
		return nil, err
	}
	if at, ok := c.events[e.Name]; e.Name != "" && (!ok || at != moment) {
		return nil, bad("it says %.60q, and is called at %s", e.Name, moment)
	}
	return e, e.check()
}

// check holds an event to what everybody who reads it relies on.
func (e *Event) check() error {
	for what, s := range map[string]string{"session": e.Session, "turn": e.Turn, "call": e.Call, "sub-agent": e.Sub, "model": e.Model, "version": e.Version, "source": e.Source, "kind of sub-agent": e.SubKind} {
		if s != "" && !line(s, maxWord) {
			return bad("its %s is no line of at most %d bytes", what, maxWord)
		}
	}
	if why := wrongPath(e.Transcript); e.Transcript != "" && why != "" {
		return bad("transcript %.80q: %s", e.Transcript, why)
	}
	if e.Moment != BeforeTool && e.Moment != AfterTool {
		return nil
	}
	switch {
	case !line(e.Tool, maxName):
		return bad("its tool is no line of at most %d bytes: %.80q", maxName, e.Tool)
	case len(e.Command) > maxCommand:
		return bad("a command of %d bytes", len(e.Command))
	case len(e.Paths) > maxPaths:
		return bad("%d paths", len(e.Paths))
	case e.Kind == Shell && e.Command == "" && e.Moment == BeforeTool:
		return bad("%s without a command", e.Tool)
	case e.Kind == Edit && len(e.Paths) == 0 && e.Moment == BeforeTool:
		return bad("%s names no file", e.Tool)
	}
	for _, p := range e.Paths {
		if why := wrongPath(p); why != "" {
			return bad("path %.80q: %s", p, why)
		}
	}
	if e.Cwd != "" {
		if why := wrongPath(e.Cwd); why != "" {
			return bad("cwd %.80q: %s", e.Cwd, why)
		}
	}
	return nil
}

// Effects is what the command of a shell would do, as far as that can be told without running it.
type Effects struct {
	Writes []Write
	Reads  []Named  // what it names, whatever for
	Around []string // how it goes around the gate, a phrase each
	Hidden []string // what of it could not be told, a phrase each
	As     []string // identities that it chooses

	Hosts   []string // that it would reach and names, as [URLHost] does
	Remotes []Remote // that it would reach, as Git's configuration names them
	Online  []string // what of it reaches hosts that it does not name, a phrase each
}

// Named is a path that a command names.
type Named struct {
	Path  string // absolute
	Glob  bool   // Path is a pattern of a shell
	Whole bool   // it may read all that is there, also below it
	Idle  bool   // what names it does not read what is in it
}

// Write is a path that a command would write, remove or make.
type Write struct {
	Path string // absolute
	Glob bool   // Path is a pattern of a shell
	Tree bool   // also all that is below it
	// Folder: it is made or removed as a folder, which no commit has.
	Folder bool
	// Into are the names that come to be in Path where that is a folder; else Path itself is written.
	Into []string
	Gone bool // it is removed
	// Found: by a search that begins at Path. Of what is there it is all, or what has a name that one of the patterns Names matches, and what is below that.
	// Spared: the .git in Path is left out of it.
	Found  bool
	Names  []string
	Spared bool
}

// Shifts reports whether what is at a path is another file for each process that opens it.
func Shifts(p string) bool { return strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/dev/fd/") }

// IsMoment reports whether a command line may name this moment.
func IsMoment(s string) bool { return slices.Contains(Moments, Moment(s)) }
