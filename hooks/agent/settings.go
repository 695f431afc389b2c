package agent

import "path/filepath"

// Settings are the files, and folders of files, in which agents are told of hooks: of the user, and of a project.
func Settings(home, project string) []string {
	var out []string
	if home != "" {
		for _, f := range []string{
			".claude/settings.json", ".claude/settings.local.json", ".codex/hooks.json", ".codex/config.toml", ".cursor/hooks.json", ".gemini/settings.json", ".gemini/.env", ".copilot/hooks",
			".config/opencode/plugins", ".config/opencode/plugin", ".config/opencode/opencode.json", ".config/opencode/opencode.jsonc",
		} {
			out = append(out, filepath.Join(home, filepath.FromSlash(f)))
		}
	}
	if project != "" {
		for _, f := range []string{
			".claude/settings.json", ".claude/settings.local.json", ".codex/hooks.json", ".codex/config.toml", ".cursor/hooks.json", ".gemini/settings.json", ".gemini/.env", ".github/hooks",
			".opencode/plugins", ".opencode/plugin", "opencode.json", "opencode.jsonc",
		} {
			out = append(out, filepath.Join(project, filepath.FromSlash(f)))
		}
	}
	return out
}
