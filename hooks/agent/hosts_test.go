package agent_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// TestHostNames: a host has one name, whoever reads it; what some read otherwise has none.
func TestHostNames(t *testing.T) {
	for text, want := range map[string]string{
		"http://A.b./x": "a.b", "http://u:p@a.b:80/": "a.b", "http://c.d/@a.b": "c.d", "http://c.d?@a.b": "c.d", "http://c.d#@a.b": "c.d", "ssh://[2001:DB8::1]:22/x": "2001:db8::1", "http://localhost/": "-", "http://x.localhost:1/": "-", "http://[::ffff:127.0.0.1]/": "-", "http://0.0.0.0/": "-", "file:///x": "-", "a.b": "-", "a.b/x?y=https://c.d/": "-",
		`http://c.d\@a.b/`: "", `http://c.d\x`: "", "http://x@c.d@a.b/": "", "http://c.d @a.b/": "", "http://c.d:x/": "", "http://c.d:1:2/": "", "http://[::1].a.b/": "", "http://[a.b]/": "", "http://{a,b}.c/": "", "http://%61.b/": "", "http://a。b/": "", "http:///a.b": "", "x::http://a.b/": "", "://a.b": "",
	} {
		host, _, ok := agent.URLHost(text)
		if !ok {
			host = "-"
		}
		if host != want {
			t.Errorf("%s leads to %q, want %q", text, host, want)
		}
	}
	for text, want := range map[string]string{"a.b:x": "a.b", "u@a.b:x": "a.b", "[a.b]:x": "a.b", "u@[a.b:22]:x": "a.b", "[2001:db8::1]:x": "2001:db8::1", "/a:b": "-", `C:\x`: "-", "a/b:c": "-", "x": "-", "a b:c": ""} {
		host, ok := agent.PathHost(text)
		if !ok {
			host = "-"
		}
		if host != want {
			t.Errorf("%s is on %q, want %q", text, host, want)
		}
	}
}

// TestArgumentHosts: a tool's arguments name hosts as browsers read them, also where a URL lacks its slashes, or has blanks; "?" is one that they do not name.
func TestArgumentHosts(t *testing.T) {
	for call, want := range map[string]string{
		`WebFetch {"url":"https://a.b/x","prompt":"y"}`: "a.b", `WebFetch {"url":"c.d","prompt":"https://a.b/"}`: "a.b ?", `WebFetch {"url":"https:c.d","prompt":"https://a.b/"}`: "a.b ?", `WebFetch {"url":"https:/c.d/"}`: "?", `WebFetch {"url":"https:\\\\c.d"}`: "?", `WebFetch {"url":"http://localhost:80/"}`: "", `WebSearch {"query":"x"}`: "?", `WebSearch {"query":"x","url":"http://localhost/"}`: "?",
		`mcp__x {"url":"https://a.b/?q=c d"}`: "a.b", `mcp__x {"url":"\u0001 https://a.b/"}`: "a.b", `mcp__x {"url":"https://c.d\\@a.b/"}`: "?", `mcp__x {"url":"https://c.d @a.b/"}`: "?", `mcp__x {"a":[{"b":"https://a.b"}],"c":"https://e.f"}`: "a.b e.f", `mcp__x {"text":"see https://a.b/"}`: "", `Task {"prompt":"https://a.b/ is what to read"}`: "", `ReadMcpResourceTool {"server":"x","uri":"memo://1"}`: "", `mcp__x {"url":"git+ssh://a.b/x"}`: "a.b", `WebFetch {"url":"memo://1"}`: "?", `web_fetch {"prompt":"Read https://a.b/x, and (https://c.d)."}`: "a.b c.d", `web_fetch {"url":"http://localhost/","prompt":"Read https://a.b/x"}`: "a.b", `mcp__x {"text":"https: the scheme"}`: "", `mcp__x {"url":"http://localhost/"}`: "", `Write {"file_path":"x","content":"https://a.b"}`: "",
	} {
		tool, args, _ := strings.Cut(call, " ")
		payload, err := json.Marshal(map[string]any{"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": json.RawMessage(args)})
		if err != nil {
			t.Fatal(err)
		}
		e, err := agent.Decode("claude-code", agent.BeforeTool, payload)
		if err != nil {
			t.Errorf("%s: %v", call, err)
			continue
		}
		hosts, more := agent.ArgumentHosts(e)
		if more {
			hosts = append(hosts, "?")
		}
		if got := strings.Join(hosts, " "); got != want {
			t.Errorf("%s names %q, want %q", call, got, want)
		}
	}
}
