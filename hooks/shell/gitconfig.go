package shell

import (
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// gateKey reports whether a variable of Git's configuration decides whether, or how, we are called.
func gateKey(key string) bool {
	key = strings.ToLower(key)
	for _, p := range []string{"core.hookspath", "hook.", "covenant.", "include.", "includeif.", "core.notesref", "notes.", "core.fsmonitor", "gpg.", "core.worktree", "extensions."} {
		if key == strings.TrimSuffix(p, ".") || strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// config reads KEY=VALUE as git -c takes it.
func (a *analysis) config(v value) {
	key, val, _ := strings.Cut(v.text, "=")
	if !v.known && !strings.Contains(v.text, "=") {
		a.around("git -c with a name that is not written out")
		return
	}
	if gateKey(key) {
		a.around("git -c " + key)
	}
	a.setting(key, value{text: val, known: v.known})
}

// setting reads a variable that gets a value: an alias, a remote, or one that names a program.
func (a *analysis) setting(key string, v value) {
	a.remote(key, v)
	a.gitSetting(key, v)
	key = strings.ToLower(key)
	last := key[strings.LastIndexByte(key, '.')+1:]
	switch {
	case strings.HasPrefix(key, "alias."):
		if !v.known {
			a.around("an alias that is not written out")
			return
		}
		a.expand(v.text)
	case strings.HasPrefix(key, "pager."), strings.Contains(" askpass clean cmd command difffilter driver editor external gitproxy helper packobjectshook pager process program receivepack smudge sshcommand textconv uploadpack ", " "+last+" "):
		a.given(value{text: strings.TrimPrefix(v.text, "!"), known: v.known}, "what "+clip(key)+" runs")
	case last == "update":
		if text, ok := strings.CutPrefix(v.text, "!"); ok {
			a.given(value{text: text, known: v.known}, "what "+clip(key)+" runs")
		}
	}
}

// gitConfig reads git config: what it asks about changes nothing.
func (a *analysis) gitConfig(args []value) {
	options, names := grammar{takes: "f", longs: "add all append blob= bool comment= default= edit file= fixed-value get get-all get-color get-colorbool get-regexp get-urlmatch global int list local name-only null path remove-section rename-section replace-all show-origin show-scope system type= unset unset-all url= value= worktree"}.read(args)
	asks := given(options, "get get-all get-color get-colorbool get-regexp get-urlmatch l list")
	changes := given(options, "add remove-section rename-section replace-all unset unset-all")
	if given(options, "e edit") {
		a.around("git config --edit")
	}
	verb := ""
	if len(names) > 0 {
		verb = names[0].text
		switch verb {
		case "get", "list":
			asks, names = true, names[1:]
		case "set", "unset", "remove-section", "rename-section":
			changes, names = true, names[1:]
		case "edit":
			a.around("git config edit")
			return
		}
	}
	if asks || !changes && len(names) < 2 {
		return
	}
	files, _ := has(options, "f file")
	for _, v := range files {
		a.writes(v, agent.Write{})
	}
	section := given(options, "remove-section rename-section") || changes && strings.HasSuffix(verb, "-section")
	for i, v := range names[:min(len(names), 2)] {
		if !v.known && i == 0 {
			a.around("git config with a name that is not written out")
		}
		if gateKey(v.text) || section && slices.Contains([]string{"core", "extensions", "gpg", "hook", "notes"}, strings.ToLower(v.text)) {
			a.around("git config " + clip(v.text))
		}
	}
	if len(names) > 1 {
		a.setting(names[0].text, names[1])
	}
}
