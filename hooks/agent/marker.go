package agent

// A marker is an environment variable by which an agent tool can be told.
type marker struct{ name, tool string }

// markers are the variables that agent tools are known to set in the shells
// they run. They are a courtesy to honest tools, never a proof of anything.
var markers = []marker{
	{"CLAUDECODE", "claude-code"},
	{"CLAUDE_CODE_ENTRYPOINT", "claude-code"},
	{"CODEX_SANDBOX", "codex"},
	{"CODEX_THREAD_ID", "codex"},
	{"CODEX_CI", "codex"},
	{"CURSOR_AGENT", "cursor"},
	{"GEMINI_CLI", "gemini"},
	{"COPILOT_AGENT", "copilot"},
	{"OPENCODE", "opencode"},
	{"AI_AGENT", "agent"},
	{"COVENANT_AGENT", "agent"},
}

// Running names the agent tool that an environment shows, "" for none.
func Running(lookup func(string) (string, bool)) string {
	for _, m := range markers {
		if v, ok := lookup(m.name); ok && v != "" && v != "0" {
			return m.tool
		}
	}
	return ""
}

// IsMarker reports whether a variable is one by which an agent is told.
func IsMarker(name string) bool {
	for _, m := range markers {
		if m.name == name {
			return true
		}
	}
	return false
}
