package agent

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// Remote is a repository as a command of Git names it: by a name, or by none; its configuration tells which host that is.
type Remote struct {
	Dir  string // where the command works; "" where that is not known
	Name string // "" is the one that Git takes by itself, "*" all of them
}

// local are schemes of URLs that lead to no other host.
var local = []string{"about", "blob", "chrome", "data", "file", "unix", "vscode"}

// URLHost returns the name of the host in a URL, in small letters and without a port, and where in the text it ends. ok tells whether it is a URL that leads to a
// host at all: one that names none in words has the host "". A loopback address is no other host.
func URLHost(text string) (host string, end int, ok bool) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || scheme == "" || strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+.-") != "" || slices.Contains(local, strings.ToLower(scheme)) {
		return "", 0, false
	}
	start := len(scheme) + len("://")
	authority := rest
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		authority = rest[:i]
	}
	end = start + len(authority)
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	host = HostName(authority)
	return host, end, !Loopback(host)
}

// HostName returns the name of a host, or its address, out of HOST, HOST:PORT, [ADDRESS] and [ADDRESS]:PORT, in small letters.
func HostName(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s, _, _ = strings.Cut(inner, "]")
	} else if strings.Count(s, ":") == 1 {
		s, _, _ = strings.Cut(s, ":")
	}
	return strings.TrimSuffix(strings.ToLower(s), ".")
}

// PathHost returns the host in HOST:PATH or USER@HOST:PATH, as scp names files and Git repositories where no slash stands before the colon; "" where the text is a path of
// this machine. A drive of Windows is none.
func PathHost(text string) string {
	i := strings.IndexByte(text, ':')
	if inner := strings.IndexByte(text, ']'); strings.Contains(text[:max(i, 0)], "[") && inner > i {
		i = inner + 1
	}
	if i < 2 || i > len(text) || strings.Contains(text[:i], "/") {
		return ""
	}
	return HostName(text[strings.LastIndexByte(text[:i], '@')+1 : i])
}

// Loopback reports whether a host is this machine, by the names that everybody knows it by (RFC 6761 6.3, RFC 1122 3.2.1.3, RFC 4291 2.5.3).
func Loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	at, err := netip.ParseAddr(host)
	return err == nil && at.Unmap().IsLoopback()
}

// online are tools, by their names in small letters, that reach hosts whether or not their arguments name one.
var online = []string{
	"browser", "browser_navigate", "fetch", "fetch_url", "fetch_webpage", "google_web_search", "open_browser_page", "read_web_page", "web_fetch", "web_search", "webfetch", "websearch", "web.run",
}

// Limits of what arguments may name.
const (
	maxHosts  = 256
	maxValues = 1 << 12
)

// ArgumentHosts returns the hosts that the arguments of a call name as URLs, each a whole text at any depth, and whether it reaches hosts that they do not name. Of a command, and
// of what is written into files, it tells nothing.
func ArgumentHosts(e *Event) (hosts []string, more bool) {
	if e.Kind == Edit || e.Kind == Shell {
		return nil, false
	}
	var args any
	if len(e.Arguments) > 0 && json.Unmarshal(e.Arguments, &args) == nil {
		left := maxValues
		var look func(v any)
		look = func(v any) {
			if left--; left < 0 {
				more = true
				return
			}
			switch v := v.(type) {
			case string:
				host, _, ok := URLHost(strings.TrimSpace(v))
				switch {
				case !ok || strings.ContainsAny(strings.TrimSpace(v), " \n"):
				case host == "" || len(hosts) >= maxHosts:
					more = true
				case !slices.Contains(hosts, host):
					hosts = append(hosts, host)
				}
			case []any:
				for _, x := range v {
					look(x)
				}
			case map[string]any:
				for _, x := range v {
					look(x)
				}
			}
		}
		look(args)
	}
	slices.Sort(hosts)
	if len(hosts) == 0 && slices.Contains(online, strings.TrimPrefix(strings.ToLower(e.Tool), "functions.")) {
		more = true
	}
	return hosts, more
}
