package shell

import (
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// gitConnects notes which repositories a command of Git reaches.
func (a *analysis) gitConnects(name string, options []option, operands []value) {
	rewrites := !slices.Contains([]string{"fetch-pack", "http-fetch", "remote-ftp", "remote-ftps", "remote-http", "remote-https", "send-pack"}, name) // by its configuration
	repository := func(v value) {
		host, remote := agent.PathHost(v.text)
		helper, address, helped := strings.Cut(v.text, "::")
		switch named := remote || strings.Contains(v.text, "://"); {
		case helped && helper != "" && !strings.ContainsAny(helper, "/[@:"): // a program of its own
			if helper == "ext" {
				a.given(value{text: address, known: v.known}, "what git "+name+" runs")
			} else if !slices.Contains([]string{"ftp", "ftps", "http", "https"}, helper) || !a.address(v.from(len(helper)+2)) {
				a.unnamed("git " + name)
			}
		case named && rewrites && v.known && !a.lost && len(a.dirs) > 0:
			a.remoteNamed(v.text)
		case strings.Contains(v.text, "://"):
			if !a.address(v) {
				a.unnamed("git " + name)
			}
		case remote && (v.known || strings.IndexByte(v.text, ':') < v.sure):
			if !a.reached(host) {
				a.unnamed("git " + name)
			}
		case !v.known:
			a.unnamed("git " + name)
		case strings.ContainsAny(v.text, `/\`) || v.text == "." || v.text == "..":
		default:
			a.remoteNamed(v.text)
		}
	}
	if how, more := has(options, "recurse-submodules recursive"); more && name != "push" && name != "submodule" && how[0].text != "no" {
		a.unnamed("git " + name + " of submodules")
	}
	switch name {
	case "clone":
		if len(operands) > 0 {
			repository(operands[0])
		}
		more, _ := has(options, "bundle-uri")
		rewrites = false
		for _, v := range more {
			repository(v)
		}
	case "fetch", "pull", "push", "ls-remote", "fetch-pack", "send-pack":
		switch {
		case given(options, "all multiple"):
			a.remoteNamed("*")
		case len(operands) == 0:
			if repo, _ := has(options, "repo"); len(repo) > 0 {
				repository(repo[0])
			} else {
				a.remoteNamed("")
			}
		default:
			repository(operands[0])
		}
	case "archive":
		remote, _ := has(options, "remote")
		for _, v := range remote {
			repository(v)
		}
	case "remote":
		if len(operands) == 0 {
			return
		}
		switch operands[0].text {
		case "add", "set-url":
			for _, v := range operands[1:] {
				if _, remote := agent.PathHost(v.text); remote || !v.known || strings.Contains(v.text, "://") {
					repository(v)
				}
			}
			if operands[0].text == "add" && given(options, "f fetch") {
				a.remoteNamed("*")
			}
		case "update", "prune", "show":
			a.remoteNamed("*")
		case "set-head":
			if given(options, "a auto") {
				a.remoteNamed("*")
			}
		}
	case "http-fetch", "remote-ftp", "remote-ftps", "remote-http", "remote-https":
		for _, v := range operands[max(0, len(operands)-1):] {
			repository(v)
		}
	case "submodule":
		if len(operands) > 0 && operands[0].text == "add" && len(operands) > 1 {
			repository(operands[1])
		} else if len(operands) > 0 && operands[0].text == "update" {
			a.unnamed("git submodule update")
		}
	case "lfs":
		if len(operands) == 0 || !slices.Contains([]string{"env", "ls-files", "status", "track", "untrack", "version"}, operands[0].text) {
			a.unnamed("git lfs")
		}
	case "annex", "imap-send", "p4", "send-email", "svn":
		a.unnamed("git " + name)
	}
}

// remoteNamed notes a remote by its name in the configuration of where the command works.
func (a *analysis) remoteNamed(name string) {
	if len(a.dirs) == 0 || a.lost || len(a.dirs) > 8 {
		a.unnamed("a remote of a repository that is not known")
		return
	}
	for _, d := range a.dirs {
		r := agent.Remote{Dir: d, Name: name}
		if !slices.Contains(a.out.Remotes, r) && len(a.out.Remotes) < maxItems {
			a.out.Remotes = append(a.out.Remotes, r)
		}
	}
}

// gitSetting notes the hosts in a setting by which Git finds others, and that it is not known which those are.
func (a *analysis) gitSetting(key string, v value) {
	key = strings.ToLower(key)
	section, _, _ := strings.Cut(key, ".")
	switch {
	case section == "url":
		base, found := strings.CutPrefix(key, "url.")
		base = base[:max(0, strings.LastIndexByte(base, '.'))]
		if !found {
			return // Git takes no such name
		}
		if host, remote := agent.PathHost(base); (!remote || strings.Contains(base, "://") || !a.reached(host)) && !a.address(literal(base)) {
			a.unnamed("git config " + clip(key))
		}
	case section == "http" && strings.HasSuffix(key, ".curloptresolve"):
		a.unnamed("git config " + clip(key))
	case key == "fetch.bundleuri", (section == "branch" && strings.HasSuffix(key, "remote") || key == "remote.pushdefault") && (strings.ContainsAny(v.text, ":") || !v.known),
		section == "remote" && (strings.HasSuffix(key, "url") || strings.HasSuffix(key, ".proxy")), key == "http.proxy", section == "http" && strings.HasSuffix(key, ".proxy"), key == "core.gitproxy":
		if host, remote := agent.PathHost(v.text); remote && v.known && !strings.Contains(v.text, "://") && a.reached(host) {
			return
		} else if !a.address(v) && !strings.HasPrefix(v.text, "/") {
			a.unnamed("git config " + clip(key))
		}
	}
}
