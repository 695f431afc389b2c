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
// host at all: one that names none, or none that everybody reads alike, has the host "". A loopback address is no other host.
func URLHost(text string) (host string, end int, ok bool) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || strings.ContainsAny(scheme, "/?#") || slices.Contains(local, strings.ToLower(scheme)) { // a URL in a URL is none
		return "", 0, false
	}
	start := len(scheme) + len("://")
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	end = start + len(authority)
	if !isScheme(scheme) || strings.ContainsAny(authority, "\\ \t\r\n") || strings.Count(authority, "@") > 1 { // some end the name there, others begin it
		return "", end, true
	}
	host = HostName(authority[strings.LastIndexByte(authority, '@')+1:])
	return host, end, !Loopback(host)
}

func isScheme(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789+.-") == ""
}

// HostName returns the name of a host, or its address, out of HOST, HOST:PORT, [ADDRESS] and [ADDRESS]:PORT, in small letters; "" for what is no name that a grant could have.
func HostName(s string) string {
	port := ""
	inner, bracketed := strings.CutPrefix(s, "[")
	switch {
	case bracketed:
		if s, port, bracketed = strings.Cut(inner, "]"); !bracketed || port != "" && port[0] != ':' {
			return ""
		}
		port = strings.TrimPrefix(port, ":")
	case strings.Count(s, ":") == 1:
		s, port, _ = strings.Cut(s, ":")
	}
	if s = strings.TrimSuffix(strings.ToLower(s), "."); strings.Trim(port, "0123456789") != "" {
		return ""
	}
	if _, err := netip.ParseAddr(s); err != nil && (bracketed || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "") {
		return ""
	}
	return s
}

// PathHost returns the host in HOST:PATH or USER@HOST:PATH, as scp names files and Git repositories where no slash stands before the colon, "" where it has no name; ok tells
// whether it is such a one, and no path of this machine. A drive of Windows is none.
func PathHost(text string) (host string, ok bool) {
	i := strings.IndexByte(text, ':')
	if inner := strings.IndexByte(text, ']'); strings.Contains(text[:max(i, 0)], "[") && inner > i {
		i = inner + 1
	}
	if i < 2 || i > len(text) || strings.Contains(text[:i], "/") {
		return "", false
	}
	host = text[strings.LastIndexByte(text[:i], '@')+1 : i]
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed && strings.Count(inner, ":") < 2 {
		host = strings.TrimSuffix(inner, "]")
	}
	return HostName(host), true
}

// Loopback reports whether a host is this machine, by the names that everybody knows it by (RFC 6761 6.3, RFC 1122 3.2.1.3, RFC 4291 2.5.3).
func Loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	at, err := netip.ParseAddr(host)
	return err == nil && (at.Unmap().IsLoopback() || at.IsUnspecified())
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

// addressed are arguments by which a tool is told where to, and not what to say.
var addressed = []string{"address", "endpoint", "href", "link", "location", "target", "uri", "url"}

// remote are schemes of URLs that lead to other hosts; those of servers of tools name what is theirs.
var remote = []string{
	"amqp", "amqps", "dict", "ftp", "ftps", "git", "gopher", "grpc", "grpcs", "http", "https", "imap", "imaps", "ldap", "ldaps", "mongodb", "mqtt", "mqtts", "mysql", "nats", "nfs", "postgres", "postgresql", "redis", "rediss", "rsync", "rtmp", "rtsp", "scp", "sftp", "smb",
	"smtp", "smtps", "ssh", "svn", "telnet", "tftp", "ws", "wss",
}

// leaves reports whether a scheme, such as git+ssh, is one of them.
func leaves(scheme string) bool {
	return isScheme(scheme) && slices.ContainsFunc(strings.Split(strings.ToLower(scheme), "+"), func(s string) bool { return slices.Contains(remote, s) })
}

// loose is what browsers take for a URL though it lacks the slashes of one.
func loose(text string) bool {
	scheme, rest, ok := strings.Cut(text, ":")
	return ok && slices.Contains([]string{"ftp", "http", "https", "ws", "wss"}, strings.ToLower(scheme)) && !strings.HasPrefix(rest, "//") && strings.TrimLeft(rest, " \t\r\n") == rest && rest != ""
}

// ArgumentHosts returns the hosts that the arguments of a call name as URLs, each a whole text, at any depth, that has blanks only where it is told by its name, and whether it reaches hosts that they do not name. Of a
// command, and of what is written into files, it tells nothing.
func ArgumentHosts(e *Event) (hosts []string, more bool) {
	if e.Kind == Edit || e.Kind == Shell {
		return nil, false
	}
	tool := strings.TrimPrefix(strings.ToLower(e.Tool), "functions.")
	reaches, here := slices.Contains(online, tool), false
	var args any
	if len(e.Arguments) > 0 && json.Unmarshal(e.Arguments, &args) == nil {
		left := maxValues
		add := func(host string) {
			if host == "" || len(hosts) >= maxHosts {
				more = true
			} else if !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
		var look func(name string, v any)
		look = func(name string, v any) {
			if left--; left < 0 {
				more = true
				return
			}
			switch v := v.(type) {
			case string:
				v = strings.TrimFunc(v, func(r rune) bool { return r <= ' ' })
				scheme, _, _ := strings.Cut(v, "://")
				host, _, ok := URLHost(v)
				where := slices.Contains(addressed, strings.ToLower(name))
				switch {
				case strings.ContainsAny(v, " \t\r\n") && !where && reaches: // some fetch what they are asked about
					for _, word := range strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'`()<>[]{},", r) }) {
						scheme, _, _ := strings.Cut(word, "://")
						if host, _, ok := URLHost(strings.TrimRight(word, ".;:!?")); ok && leaves(scheme) {
							add(host)
						}
					}
				case strings.ContainsAny(v, " \t\r\n") && !where:
				case loose(v):
					more = true
				case !leaves(scheme):
					more = more || reaches && where && v != ""
				case !ok:
					here = here || where && !strings.Contains(tool, "search")
				default:
					add(host)
				}
			case []any:
				for _, x := range v {
					look(name, x)
				}
			case map[string]any:
				for name, x := range v {
					look(name, x)
				}
			}
		}
		look("", args)
	}
	slices.Sort(hosts)
	return hosts, more || reaches && len(hosts) == 0 && !here
}
