package agent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

const vectorDir = "../../testdata/vectors/agent"

// vector is a payload, and what it means.
type vector struct {
	Moment  agent.Moment    `json:"moment"`
	Payload json.RawMessage `json:"payload"`
	Text    *string         `json:"text"` // in the place of a payload that no JSON can hold
	Event   *meaning        `json:"event"`
}

// meaning is an event as the vectors have it.
type meaning struct {
	Agent   string     `json:"agent"`
	Session string     `json:"session"`
	Turn    string     `json:"turn"`
	Call    string     `json:"call"`
	Sub     string     `json:"sub"`
	Tool    string     `json:"tool"`
	Kind    agent.Kind `json:"kind"`
	Paths   []string   `json:"paths"`
	Command string     `json:"command"`
	Cwd     string     `json:"cwd"`
	Source  string     `json:"source"`
	Active  bool       `json:"active"`
	Model   string     `json:"model"`
	Version string     `json:"version"`
	Failed  bool       `json:"failed"`
}

func (v *vector) bytes() []byte {
	if v.Text != nil {
		return []byte(*v.Text)
	}
	return v.Payload
}

func vectors(t testing.TB, name, kind string) map[string]*vector {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(vectorDir, name, kind, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors that %s must %s: %v", name, kind, err)
	}
	out := map[string]*vector{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v := new(vector)
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = v
	}
	return out
}

func TestVectors(t *testing.T) {
	for _, name := range agent.Names() {
		for file, v := range vectors(t, name, "accept") {
			e, err := agent.Decode(name, v.Moment, v.bytes())
			if err != nil {
				t.Errorf("%s/%s: %v", name, file, err)
				continue
			}
			want := *v.Event
			if want.Agent == "" {
				want.Agent = name
			}
			got := meaning{e.Agent, e.Session, e.Turn, e.Call, e.Sub, e.Tool, e.Kind, e.Paths, e.Command, e.Cwd, e.Source, e.Active, e.Model, e.Version, e.Failed}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			if !bytes.Equal(a, b) {
				t.Errorf("%s/%s means\n%s, not\n%s", name, file, a, b)
			}
			if bytes.Contains(a, []byte("someone@example.com")) {
				t.Errorf("%s/%s tells who the user is", name, file)
			}
		}
		for file, v := range vectors(t, name, "reject") {
			if e, err := agent.Decode(name, v.Moment, v.bytes()); !errors.Is(err, agent.ErrPayload) {
				t.Errorf("%s/%s: %v, %+v", name, file, err, e)
			}
			// What is refused does not run, where a tool would.
			if out := agent.Refuse(name, v.Moment, "why"); v.Moment == agent.BeforeTool && !denies(name, out) {
				t.Errorf("%s/%s: %+v lets it run", name, file, out)
			}
		}
	}
}

// denies reports whether an output keeps a tool from running, as the agent has it.
func denies(name string, out agent.Output) bool {
	stdout := string(out.Stdout)
	two := out.Code == 2 && len(out.Stderr) > 0
	switch name {
	case "claude-code":
		return two && strings.Contains(stdout, `"permissionDecision":"deny"`)
	case "gemini":
		return two && strings.Contains(stdout, `"decision":"deny"`)
	case "codex", "opencode":
		return two && stdout == ""
	case "cursor":
		return out.Code == 0 && strings.Contains(stdout, `"permission":"deny"`) && strings.Contains(stdout, `"user_message":"`)
	case "copilot":
		return out.Code == 0 && strings.Contains(stdout, `"permissionDecision":"deny"`)
	}
	return out.Code == 2 && strings.Contains(stdout, `"decision":"deny"`)
}

// TestReplies: what each agent is told, and nothing besides.
func TestReplies(t *testing.T) {
	silent := []string{"claude-code", "codex", "copilot", "opencode"}
	for _, name := range agent.Names() {
		before := &agent.Event{Agent: name, Moment: agent.BeforeTool}
		if out := agent.Encode(name, before, agent.Reply{}); out.Code != 0 || slices.Contains(silent, name) && len(out.Stdout)+len(out.Stderr) > 0 || strings.Contains(string(out.Stdout), "deny") {
			t.Errorf("%s is told %+v of a tool that may run", name, out)
		}
		if out := agent.Encode(name, before, agent.Reply{Deny: "a\nb \"c\""}); !denies(name, out) {
			t.Errorf("%s is told %+v of a tool that must not", name, out)
		}
		start := agent.Encode(name, &agent.Event{Moment: agent.SessionStart}, agent.Reply{Context: "who you are"})
		if start.Code != 0 || !strings.Contains(string(start.Stdout), "who you are") {
			t.Errorf("%s is told %+v as it starts", name, start)
		}
		if out := agent.Encode(name, &agent.Event{Moment: agent.Stop, Active: true}, agent.Reply{Again: "more"}); strings.Contains(string(out.Stdout), "more") {
			t.Errorf("%s is kept from stopping twice", name)
		}
		for _, m := range agent.Moments {
			out := agent.Encode(name, &agent.Event{Moment: m}, agent.Reply{Deny: "x", Context: "y", Again: "z"})
			if len(out.Stdout) > 0 && name != "opencode" && !json.Valid(out.Stdout) {
				t.Errorf("%s at %s is told %s, which is no JSON", name, m, out.Stdout)
			}
			if m != agent.BeforeTool && out.Code != 0 {
				t.Errorf("%s at %s: exit code %d", name, m, out.Code)
			}
		}
	}
	// Codex takes an answer with one field too many for none, and runs the tool.
	allowed := []string{"hookSpecificOutput", "hookEventName", "additionalContext", "decision", "reason"}
	for _, m := range agent.Moments {
		out := agent.Encode("codex", &agent.Event{Moment: m}, agent.Reply{Deny: "x", Context: "y", Again: "z"})
		d := json.NewDecoder(bytes.NewReader(out.Stdout))
		for {
			tok, err := d.Token()
			if err != nil {
				break
			}
			if s, ok := tok.(string); ok && len(s) > 1 && !slices.Contains(allowed, s) && !slices.Contains([]string{"SessionStart", "block"}, s) {
				t.Errorf("codex at %s is told %q", m, s)
			}
		}
	}
}

// TestLimits: size and number, however they come.
func TestLimits(t *testing.T) {
	head := `{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"`
	for what, payload := range map[string]string{
		"100 MB":              head + strings.Repeat("x", 100<<20) + `"}}`,
		"a command of 2 MB":   head + strings.Repeat("x", 2<<20) + `"}}`,
		"a million numbers":   `{"hook_event_name":"PreToolUse","tool_name":"X","tool_input":{"a":[` + strings.Repeat("1,", 1<<21) + `1]}}`,
		"a million deep":      `{"a":` + strings.Repeat("[", 1<<20),
		"no UTF-8":            "{\"hook_event_name\":\"PreToolUse\",\"tool_name\":\"Write\",\"tool_input\":{\"file_path\":\"a\xff\"}}",
		"ten thousand files":  `{"hook_event_name":"PreToolUse","tool_name":"apply_patch","tool_input":{"input":"` + strings.Repeat(`*** Delete File: `+"a", 1) + many() + `"}}`,
		"a path of 5,000":     `{"hook_event_name":"PreToolUse","tool_name":"Write","tool_input":{"file_path":"` + strings.Repeat("a", 5000) + `"}}`,
		"a mark of the order": "\ufeff{}",
	} {
		if _, err := agent.Decode("claude-code", agent.BeforeTool, []byte(payload)); !errors.Is(err, agent.ErrPayload) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func many() string {
	var b strings.Builder
	for i := range 10_000 {
		b.WriteString(`\n*** Delete File: ` + strings.Repeat("a", i%50+1) + string(rune('a'+i%26)) + strings.Repeat("b", i/50))
	}
	return b.String()
}

func TestAction(t *testing.T) {
	for tool, want := range map[string]string{
		"Bash": "tool.call.bash", "mcp__github__create_issue": "tool.call.mcp__github__create_issue", "mcp__a-b__c": "tool.call.mcp__a_0x2db__c", "MCP:query": "tool.call.mcp_0x3aquery", "a_0x2db": "tool.call.a_0x5f0x2db",
		"a.b": "tool.call.a_0x2eb", "é": "tool.call._0xc3_0xa9", "": "", strings.Repeat("a", 118): "tool.call." + strings.Repeat("a", 118), strings.Repeat("a", 119): "",
	} {
		if got := agent.Action(tool); got != want {
			t.Errorf("%q is %q, not %q", tool, got, want)
		}
	}
}

// FuzzAction: no two names of tools are one action, but for the case of letters.
func FuzzAction(f *testing.F) {
	f.Add("a-b", "a_0x2db")
	f.Add("_0x", "_0X")
	f.Add("__0x2d", "_-")
	f.Fuzz(func(t *testing.T, a, b string) {
		lower := func(s string) string {
			return string(bytes.Map(func(r rune) rune {
				if r >= 'A' && r <= 'Z' {
					return r + 'a' - 'A'
				}
				return r
			}, []byte(s)))
		}
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		if x := agent.Action(a); x != "" && x == agent.Action(b) && lower(a) != lower(b) {
			t.Errorf("%q and %q are both %s", a, b, x)
		}
	})
}

// FuzzDecode: what any agent says can be said in the generic form, and means the same there.
func FuzzDecode(f *testing.F) {
	names := agent.Names()
	for i, name := range names {
		for _, kind := range []string{"accept", "reject"} {
			for _, v := range vectors(f, name, kind) {
				f.Add(i, slices.Index(agent.Moments, v.Moment), v.bytes())
			}
		}
	}
	f.Fuzz(func(t *testing.T, which, when int, payload []byte) {
		name, moment := names[uint(which)%uint(len(names))], agent.Moments[uint(when)%uint(len(agent.Moments))]
		e, err := agent.Decode(name, moment, payload)
		if err != nil {
			if !errors.Is(err, agent.ErrPayload) {
				t.Fatalf("%v is another kind of error", err)
			}
			return
		}
		said := map[string]any{"version": 1, "event": e.Moment, "session": e.Session, "turn": e.Turn, "call": e.Call, "subagent": e.Sub, "model": e.Model, "source": e.Source, "active": e.Active, "cwd": e.Cwd}
		if e.Tool != "" {
			said["tool"], said["kind"], said["command"], said["failed"] = e.Tool, e.Kind, e.Command, e.Failed
			said["paths"] = append([]string{}, e.Paths...)
		}
		b, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		g, err := agent.Decode("generic", moment, b)
		if err != nil {
			t.Fatalf("%s is not said by %s: %v", payload, b, err)
		}
		if g.Tool != e.Tool || g.Kind != e.Kind && e.Tool != "" || !slices.Equal(g.Paths, e.Paths) || g.Command != e.Command || g.Session != e.Session || g.Cwd != e.Cwd || g.Sub != e.Sub || g.Active != e.Active {
			t.Errorf("%s is said by %s, which means %+v", payload, b, g)
		}
	})
}
