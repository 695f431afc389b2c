package settings

import (
	"encoding/json"
	"strings"
)

// plugin writes the plugin of OpenCode, which has no hooks but in JavaScript. It starts covenant-agent-hook as the other agents do, with
// what OpenCode says; exit code 2, and a program that is not there, keep a tool from running.
func plugin(command func(Hook) string, hooks []Hook) []byte {
	lines := map[string]string{}
	for _, h := range hooks {
		lines[h.Event] = command(h)
	}
	said, _ := json.MarshalIndent(lines, "", "  ") // it has a form
	return []byte(strings.Replace(pluginText, "COMMANDS", string(said), 1))
}

// pluginLines returns the lines of a plugin that is ours to the last byte, but for the lines.
func pluginLines(text []byte) (map[string]string, bool) {
	head, tail, _ := strings.Cut(pluginText, "COMMANDS")
	rest, begins := strings.CutPrefix(string(text), head)
	said, ends := strings.CutSuffix(rest, tail)
	var lines map[string]string
	if !begins || !ends || json.Unmarshal([]byte(said), &lines) != nil {
		return nil, false
	}
	for _, command := range lines {
		if _, ok := ours(command); !ok {
			return nil, false
		}
	}
	return lines, true
}

func isPlugin(text []byte) bool {
	_, ok := pluginLines(text)
	return ok
}

const pluginText = `// Written by: covenant hooks install --agent opencode
import { spawnSync } from "node:child_process"

const commands = COMMANDS

function call(event, payload) {
  const r = spawnSync(commands[event], { input: JSON.stringify({ event, ...payload }), shell: true, encoding: "utf8", timeout: 10000 })
  return { failed: r.error !== undefined || r.status !== 0, said: (r.stderr || "").trim() || "covenant-agent-hook gave no answer" }
}

export const Covenant = async ({ directory }) => ({
  "tool.execute.before": async (input, output) => {
    const r = call("tool.execute.before", { sessionID: input.sessionID, callID: input.callID, tool: input.tool, args: output.args, directory })
    if (r.failed) throw new Error(r.said)
  },
  "tool.execute.after": async (input, output) => {
    call("tool.execute.after", { sessionID: input.sessionID, callID: input.callID, tool: input.tool, args: input.args ?? {}, output: output.output, directory })
  },
  event: async ({ event }) => {
    const session = event.properties?.sessionID ?? event.properties?.info?.id
    if (event.type === "session.created" || event.type === "session.idle") call(event.type, { sessionID: session, directory })
  },
})
`
