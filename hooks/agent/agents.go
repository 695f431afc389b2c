package agent

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

func register(c *contract) *contract {
	agents[c.name] = c
	return c
}

// claudeCode and codex say the same, and understand it differently.
var (
	claudeEvents = map[string]Moment{
		"SessionStart": SessionStart, "UserPromptSubmit": Prompt, "PreToolUse": BeforeTool, "PostToolUse": AfterTool, "PostToolUseFailure": AfterTool,
		"SubagentStart": SubagentStart, "SubagentStop": SubagentStop, "Stop": Stop, "SessionEnd": SessionEnd,
	}
	_ = register(&contract{name: "claude-code", events: claudeEvents, decode: decodeClaude, encode: encodeClaude})
	_ = register(&contract{name: "codex", events: claudeEvents, decode: decodeClaude, encode: encodeCodex})
	_ = register(&contract{name: "gemini", decode: decodeClaude, encode: encodeGemini, events: map[string]Moment{
		"SessionStart": SessionStart, "BeforeAgent": Prompt, "BeforeTool": BeforeTool, "AfterTool": AfterTool, "AfterAgent": Stop, "SessionEnd": SessionEnd,
	}})
	_ = register(&contract{name: "cursor", decode: decodeCursor, encode: encodeCursor, events: map[string]Moment{
		"sessionStart": SessionStart, "beforeSubmitPrompt": Prompt, "preToolUse": BeforeTool, "beforeShellExecution": BeforeTool, "beforeMCPExecution": BeforeTool, "beforeReadFile": BeforeTool,
		"postToolUse": AfterTool, "postToolUseFailure": AfterTool, "afterShellExecution": AfterTool, "afterMCPExecution": AfterTool, "afterFileEdit": AfterTool,
		"subagentStart": SubagentStart, "subagentStop": SubagentStop, "stop": Stop, "sessionEnd": SessionEnd,
	}})
	_ = register(&contract{name: "copilot", decode: decodeCopilot, encode: encodeCopilot, events: map[string]Moment{
		"sessionStart": SessionStart, "userPromptSubmitted": Prompt, "preToolUse": BeforeTool, "postToolUse": AfterTool, "postToolUseFailure": AfterTool,
		"subagentStart": SubagentStart, "subagentStop": SubagentStop, "agentStop": Stop, "sessionEnd": SessionEnd,
		"SessionStart": SessionStart, "UserPromptSubmit": Prompt, "PreToolUse": BeforeTool, "PostToolUse": AfterTool, "Stop": Stop, "SubagentStop": SubagentStop, "SessionEnd": SessionEnd,
	}})
	_ = register(&contract{name: "opencode", decode: decodeOpenCode, encode: encodePlain, events: map[string]Moment{
		"tool.execute.before": BeforeTool, "tool.execute.after": AfterTool, "session.created": SessionStart, "session.idle": Stop, "session.compacted": SessionStart, "session.deleted": SessionEnd,
	}})
	_ = register(&contract{name: "generic", decode: decodeGeneric, encode: encodeGeneric})
)

// decodeClaude reads the form of Claude Code, which Codex and Gemini took over.
func decodeClaude(p payload, e *Event) error {
	if err := p.texts(map[*string][]string{
		&e.Name: {"hook_event_name"}, &e.Session: {"session_id"}, &e.Turn: {"turn_id", "prompt_id"}, &e.Call: {"tool_use_id"}, &e.Sub: {"agent_id"}, &e.SubKind: {"agent_type"}, &e.Cwd: {"cwd"},
		&e.Source: {"source", "reason", "trigger"}, &e.Model: {"model"}, &e.Version: {"version"}, &e.Transcript: {"transcript_path"},
	}); err != nil {
		return err
	}
	if e.Name == "" {
		return bad("it does not say hook_event_name")
	}
	var err error
	if e.Active, err = p.flag("stop_hook_active"); err != nil {
		return err
	}
	e.Failed = e.Name == "PostToolUseFailure"
	e.said(p)
	return e.tool(p, "tool_name", "tool_input", "tool_response", "tool_output", "tool_result")
}

// said reads what a person said, where that is a text.
func (e *Event) said(p payload) {
	if e.Moment == Prompt {
		e.Said, _ = p.text("prompt")
	}
}

// tool reads the call of a tool.
func (e *Event) tool(p payload, name, input string, results ...string) error {
	if e.Moment != BeforeTool && e.Moment != AfterTool {
		return nil
	}
	tool, err := p.text(name)
	if err != nil {
		return err
	}
	if tool == "" {
		return bad("it does not say %s", name)
	}
	args, err := p.object(input)
	if err != nil {
		return err
	}
	e.Arguments = compact(p[input])
	for _, r := range results {
		if raw, ok := p[r]; ok {
			e.Result = compact(raw)
			break
		}
	}
	e.Usage.Millis = p.count("duration_ms", "duration")
	if o, err := p.object(results...); err == nil && o != nil {
		e.failure(o)
	}
	return e.call(tool, args)
}

// failure tells from a result whether the tool failed.
func (e *Event) failure(result payload) {
	for _, name := range []string{"is_error", "isError", "interrupted"} {
		if v, err := result.flag(name); err == nil && v {
			e.Failed = true
		}
	}
	if v, err := result.flag("success"); err == nil && result["success"] != nil && !v {
		e.Failed = true
	}
	if kind, err := result.text("resultType", "result_type"); err == nil && (kind == "failure" || kind == "denied") {
		e.Failed = true
	}
	if raw, ok := result["error"]; ok && string(raw) != "null" && string(raw) != `""` && string(raw) != "false" {
		e.Failed = true
	}
}

// object writes an answer. What it is made of always has a form.
func object(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return b.Bytes()
}

type fields = map[string]any

// encodeClaude denies by two channels, since versions have overlooked either: an object on standard output, and exit code 2 with
// the reason on standard error.
func encodeClaude(e *Event, r Reply) Output {
	switch {
	case e.Moment == BeforeTool && r.Deny != "":
		return Output{
			Stdout: object(fields{"hookSpecificOutput": fields{"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": r.Deny}}),
			Stderr: []byte(r.Deny + "\n"), Code: 2,
		}
	case e.Moment == SessionStart && r.Context != "":
		return Output{Stdout: object(fields{"hookSpecificOutput": fields{"hookEventName": "SessionStart", "additionalContext": r.Context}})}
	case e.Moment == Stop && r.Again != "" && !e.Active:
		return Output{Stdout: object(fields{"decision": "block", "reason": r.Again})}
	}
	return Output{}
}

// encodeCodex says no word more than is understood: an unknown field makes the answer invalid, and then the tool runs. Silence lets it run.
func encodeCodex(e *Event, r Reply) Output {
	if e.Moment == BeforeTool && r.Deny != "" {
		return Output{Stderr: []byte(r.Deny + "\n"), Code: 2}
	}
	return encodeClaude(e, r)
}

func encodeGemini(e *Event, r Reply) Output {
	switch {
	case e.Moment == BeforeTool && r.Deny != "":
		return Output{Stdout: object(fields{"decision": "deny", "reason": r.Deny}), Stderr: []byte(r.Deny + "\n"), Code: 2}
	case e.Moment == SessionStart && r.Context != "":
		return Output{Stdout: object(fields{"hookSpecificOutput": fields{"hookEventName": "SessionStart", "additionalContext": r.Context}})}
	case e.Moment == Stop && r.Again != "" && !e.Active:
		return Output{Stdout: object(fields{"decision": "deny", "reason": r.Again})}
	}
	return Output{Stdout: object(fields{})}
}

// decodeCursor reads Cursor's form. The user's e-mail address, which it sends with everything, is not looked at.
func decodeCursor(p payload, e *Event) error {
	if err := p.texts(map[*string][]string{
		&e.Name: {"hook_event_name"}, &e.Session: {"conversation_id", "session_id"}, &e.Turn: {"generation_id"}, &e.Call: {"tool_use_id"}, &e.Cwd: {"cwd"},
		&e.Model: {"model"}, &e.Version: {"cursor_version"}, &e.Source: {"source", "reason", "status"}, &e.Sub: {"subagent_id"}, &e.SubKind: {"subagent_type"}, &e.Transcript: {"transcript_path"},
	}); err != nil {
		return err
	}
	e.said(p)
	if e.Name == "" {
		return bad("it does not say hook_event_name")
	}
	var err error
	if e.Roots, err = p.list("workspace_roots"); err != nil {
		return err
	}
	if e.Cwd == "" && len(e.Roots) > 0 {
		e.Cwd = e.Roots[0]
	}
	e.Active = p.count("loop_count") > 0
	if _, ok := p["usage"]; ok {
		if u, err := p.object("usage"); err == nil {
			e.Usage = Usage{Input: u.count("input_tokens"), Output: u.count("output_tokens")}
		}
	}
	switch e.Name {
	case "beforeShellExecution", "afterShellExecution":
		raw, err := json.Marshal(fields{"command": p["command"]})
		if err != nil {
			return bad("its command is no JSON")
		}
		e.Arguments, e.Result, e.Usage.Millis = compact(raw), compact(p["output"]), p.count("duration")
		return e.call("Shell", payload{"command": p["command"]})
	case "beforeMCPExecution", "afterMCPExecution":
		name, err := p.text("tool_name")
		if err != nil || name == "" {
			return bad("it does not say tool_name")
		}
		if !strings.HasPrefix(name, "MCP:") {
			name = "MCP:" + name
		}
		args, err := p.object("tool_input")
		if err != nil {
			return err
		}
		e.Arguments, e.Result, e.Usage.Millis = compact(p["tool_input"]), compact(p["result_json"]), p.count("duration")
		return e.call(name, args)
	case "beforeReadFile":
		return e.call("Read", payload{"file_path": p["file_path"]})
	case "afterFileEdit":
		return e.call("Write", payload{"file_path": p["file_path"], "edits": p["edits"]})
	}
	return e.tool(p, "tool_name", "tool_input", "tool_output", "result_json")
}

func encodeCursor(e *Event, r Reply) Output {
	switch {
	case e.Moment == BeforeTool && r.Deny != "":
		return Output{Stdout: object(fields{"permission": "deny", "user_message": r.Deny, "agent_message": r.Deny})}
	case e.Moment == BeforeTool: // where hooks fail closed, silence is a failure
		return Output{Stdout: object(fields{"permission": "allow"})}
	case e.Moment == Prompt:
		return Output{Stdout: object(fields{"continue": true})}
	case e.Moment == SessionStart && r.Context != "":
		return Output{Stdout: object(fields{"additional_context": r.Context})}
	case e.Moment == Stop && r.Again != "" && !e.Active:
		return Output{Stdout: object(fields{"followup_message": r.Again})}
	}
	return Output{Stdout: object(fields{})}
}

// decodeCopilot reads both forms of the Copilot CLI: of camelCase, where older versions say neither the event nor the session, and that of VS Code.
func decodeCopilot(p payload, e *Event) error {
	if _, ok := p["hook_event_name"]; ok {
		return decodeClaude(p, e)
	}
	if err := p.texts(map[*string][]string{
		&e.Name: {"hookEventName"}, &e.Session: {"sessionId"}, &e.Cwd: {"cwd"}, &e.Source: {"source", "reason", "stopReason"}, &e.Call: {"toolCallId", "toolUseId"}, &e.Sub: {"agentId"}, &e.SubKind: {"agentName"}, &e.Transcript: {"transcriptPath"},
	}); err != nil {
		return err
	}
	e.said(p)
	var err error
	if e.Active, err = p.flag("stopHookActive"); err != nil {
		return err
	}
	return e.tool(p, "toolName", "toolArgs", "toolResult")
}

// encodeCopilot lets pass by silence: "allow" would take the question to the person away.
func encodeCopilot(e *Event, r Reply) Output {
	switch {
	case e.Moment == BeforeTool && r.Deny != "":
		return Output{Stdout: object(fields{"permissionDecision": "deny", "permissionDecisionReason": r.Deny})}
	case e.Moment == SessionStart && r.Context != "":
		return Output{Stdout: object(fields{"additionalContext": r.Context})}
	case e.Moment == Stop && r.Again != "" && !e.Active:
		return Output{Stdout: object(fields{"decision": "block", "reason": r.Again})}
	}
	return Output{}
}

// decodeOpenCode reads what our plugin for OpenCode sends, with the fields of OpenCode's own hooks.
func decodeOpenCode(p payload, e *Event) error {
	if err := p.texts(map[*string][]string{
		&e.Name: {"event"}, &e.Session: {"sessionID"}, &e.Call: {"callID"}, &e.Cwd: {"directory"}, &e.Model: {"model"},
	}); err != nil {
		return err
	}
	if e.Name == "" {
		return bad("it does not say event")
	}
	return e.tool(p, "tool", "args", "output")
}

// encodePlain says a reason on standard error and a context on standard output.
func encodePlain(e *Event, r Reply) Output {
	switch {
	case e.Moment == BeforeTool && r.Deny != "":
		return Output{Stderr: []byte(r.Deny + "\n"), Code: 2}
	case e.Moment == SessionStart && r.Context != "":
		return Output{Stdout: []byte(r.Context)}
	}
	return Output{}
}

// genericFields are all that a generic payload may have.
var genericFields = []string{
	"version", "event", "agent", "session", "turn", "call", "subagent", "tool", "kind", "paths", "command", "cwd", "arguments", "result", "failed", "source", "active", "model", "usage", "prompt", "transcript",
}

// decodeGeneric reads the documented form for any other tool. It is strict: a field that is not known is refused.
func decodeGeneric(p payload, e *Event) error {
	for name := range p {
		if !slices.Contains(genericFields, name) {
			return bad("there is no field %.60q", name)
		}
	}
	if string(p["version"]) != "1" {
		return bad("version %.20s; this program reads version 1", p["version"])
	}
	var event, kind, tool string
	if err := p.texts(map[*string][]string{
		&event: {"event"}, &e.SubKind: nil, &e.Session: {"session"}, &e.Turn: {"turn"}, &e.Call: {"call"}, &e.Sub: {"subagent"}, &tool: {"tool"}, &kind: {"kind"}, &e.Cwd: {"cwd"},
		&e.Source: {"source"}, &e.Model: {"model"}, &e.Transcript: {"transcript"},
	}); err != nil {
		return err
	}
	e.said(p)
	name, err := p.text("agent")
	if err != nil {
		return err
	}
	if name != "" {
		if !line(name, 64) {
			return bad("agent %.80q", name)
		}
		e.Agent = name
	}
	if event != "" && event != string(e.Moment) {
		return bad("it says %.60q, and is called at %s", event, e.Moment)
	}
	if e.Active, err = p.flag("active"); err != nil {
		return err
	}
	if u, err := p.object("usage"); err != nil {
		return err
	} else if u != nil {
		e.Usage = Usage{Input: u.count("input_tokens"), Output: u.count("output_tokens"), CostMicros: u.count("cost_micros"), Millis: u.count("duration_ms")}
	}
	if e.Moment != BeforeTool && e.Moment != AfterTool {
		return nil
	}
	if tool == "" {
		return bad("it does not say tool")
	}
	args, err := p.object("arguments")
	if err != nil {
		return err
	}
	e.Arguments, e.Result = compact(p["arguments"]), compact(p["result"])
	if err := e.call(tool, args); err != nil {
		return err
	}
	if e.Failed, err = p.flag("failed"); err != nil {
		return err
	}
	if kind != "" {
		if !slices.Contains([]Kind{Edit, Shell, Read, MCP, Other}, Kind(kind)) {
			return bad("kind %.40q is none of edit, shell, read, mcp, other", kind)
		}
		e.Kind = Kind(kind)
	}
	paths, err := p.list("paths")
	if err != nil {
		return err
	}
	if paths != nil {
		e.Paths = paths
	}
	command, err := p.text("command")
	if err != nil {
		return err
	}
	if command != "" {
		e.Command = command
	}
	return nil
}

func encodeGeneric(e *Event, r Reply) Output {
	out := fields{"version": 1}
	code := 0
	switch {
	case e.Moment == BeforeTool && r.Deny != "":
		out["decision"], out["reason"], code = "deny", r.Deny, 2
	case e.Moment == BeforeTool:
		out["decision"] = "allow"
	case e.Moment == SessionStart && r.Context != "":
		out["context"] = r.Context
	case e.Moment == Stop && r.Again != "" && !e.Active:
		out["again"] = r.Again
	}
	return Output{Stdout: object(out), Code: code}
}

// Encode writes the reply to an event as its agent understands it. name is the agent whose contract is kept, which for
// generic payloads is not the one that they tell of.
func Encode(name string, e *Event, r Reply) Output {
	c := agents[name]
	if c == nil {
		return encodePlain(e, r)
	}
	return c.encode(e, r)
}

// Refuse is the output for a payload that could not be read: where a tool would run it does not.
func Refuse(name string, moment Moment, why string) Output {
	e := &Event{Agent: name, Moment: moment}
	if moment == BeforeTool {
		return Encode(name, e, Reply{Deny: why})
	}
	out := Encode(name, e, Reply{})
	out.Stderr = append(out.Stderr, why+"\n"...)
	return out
}
