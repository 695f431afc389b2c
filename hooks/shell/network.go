package shell

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// How the operands of a program name hosts.
const (
	silent  = iota // they do not
	urls           // each is a URL, or begins with a host
	copied         // [USER@]HOST:PATH, where there is a colon
	hosts          // each is [USER@]HOST
	oneHost        // the first is
	verbs          // one of the first is a word by which hosts are reached that are not named
	always         // so they are whatever the operands are
)

// A caller is a program that reaches hosts.
type caller struct {
	grammar
	how   int
	named string // options whose argument is a URL, or begins with a host
	verbs string
}

// online are programs that are known to reach hosts. Of those that have a grammar among programs it is that.
var online = map[string]caller{
	"ab": {how: urls, grammar: grammar{takes: "ncktsbpuTvCHAPXewxyz"}}, "aria2c": {how: urls}, "axel": {how: urls}, "chromium": {how: urls}, "curl": {how: urls, named: "x proxy url"}, "elinks": {how: urls}, "firefox": {how: urls}, "google-chrome": {how: urls},
	"grpcurl": {how: urls}, "http": {how: urls}, "httpie": {how: urls}, "https": {how: urls}, "links": {how: urls}, "lynx": {how: urls}, "w3m": {how: urls}, "websocat": {how: urls}, "wget": {how: urls}, "wscat": {how: urls, named: "c connect"}, "xh": {how: urls},
	"rsync": {how: copied}, "scp": {how: copied, named: "J"}, "sftp": {how: oneHost, named: "J", grammar: grammar{takes: "BbcDFiJloPRSsX", early: true}},
	"dig": {how: hosts}, "host": {how: hosts}, "mtr": {how: hosts}, "nslookup": {how: hosts}, "nmap": {how: hosts}, "ping": {how: hosts, grammar: grammar{takes: "cWwiIsQtp"}}, "ping6": {how: hosts, grammar: grammar{takes: "cWwiIsQtp"}}, "ssh-keyscan": {how: hosts, grammar: grammar{takes: "fOpTt"}},
	"whois": {how: hosts}, "ftp": {how: oneHost}, "mosh": {how: oneHost, grammar: grammar{early: true}}, "nc": {how: oneHost, grammar: grammar{takes: "gGiIMmOPpqSsTVwXx"}}, "ncat": {how: oneHost, grammar: grammar{takes: "cegGimopsw"}}, "netcat": {how: oneHost, grammar: grammar{takes: "gGiIMmOPpqSsTVwXx"}},
	"ssh": {how: oneHost, named: "J", grammar: grammar{takes: "BbcDEeFIiJLlmOoPpQRSWw", early: true}}, "autossh": {how: oneHost, named: "J", grammar: grammar{takes: "BbcDEeFIiJLlMmOoPpQRSWw", early: true}}, "ssh-copy-id": {how: oneHost, grammar: grammar{takes: "iop"}}, "telnet": {how: oneHost, grammar: grammar{takes: "lnbXek"}}, "tftp": {how: oneHost}, "traceroute": {how: oneHost, grammar: grammar{takes: "fgimpqswz"}}, "tracepath": {how: oneHost},
	"mongosh": {how: urls, named: "host"}, "mysql": {how: silent, named: "h host", grammar: grammar{takes: "hPuD", longs: "host="}}, "mysqldump": {how: silent, named: "h host", grammar: grammar{takes: "hPu", longs: "host="}}, "psql": {how: silent, named: "h host", grammar: grammar{takes: "hpUdcf", longs: "host="}},
	"pg_dump": {how: silent, named: "h host", grammar: grammar{takes: "hpUdf", longs: "host="}}, "redis-cli": {how: silent, named: "h u", grammar: grammar{takes: "hpun"}},

	"apk": {how: verbs, verbs: "add fetch update upgrade"}, "apt": {how: verbs, verbs: "download full-upgrade install source update upgrade"}, "apt-get": {how: verbs, verbs: "dist-upgrade download install source update upgrade"}, "brew": {how: verbs, verbs: "fetch install outdated search tap update upgrade"},
	"bun": {how: verbs, verbs: "a add create i install outdated publish update upgrade x"}, "bundle": {how: verbs, verbs: "add install lock outdated update"}, "cargo": {how: verbs, verbs: "add fetch install login publish search update"}, "composer": {how: verbs, verbs: "create-project install outdated require update"},
	"conda": {how: verbs, verbs: "create install search update"}, "deno": {how: verbs, verbs: "add cache install upgrade"}, "dnf": {how: verbs, verbs: "download install search update upgrade"}, "docker": {how: verbs, verbs: "build buildx login pull push run search compose"}, "flutter": {how: verbs, verbs: "pub upgrade"},
	"gem": {how: verbs, verbs: "fetch install push search update"}, "mamba": {how: verbs, verbs: "create install search update"}, "npm": {how: verbs, verbs: "add audit ci create exec fund i info init install it login outdated ping publish search show up update upgrade v view whoami x"},
	"pip": {how: verbs, verbs: "download index install search wheel"}, "pipenv": {how: verbs, verbs: "install lock sync update"}, "pnpm": {how: verbs, verbs: "add audit create dlx fetch i import info install outdated publish up update upgrade view"}, "podman": {how: verbs, verbs: "build login pull push run search"},
	"poetry": {how: verbs, verbs: "add install lock publish search update"}, "uv": {how: verbs, verbs: "add lock pip publish run sync tool"}, "yarn": {how: verbs, verbs: "add audit create dlx info install npm outdated publish up upgrade"}, "yum": {how: verbs, verbs: "install update upgrade"},
	"aws": {how: always}, "az": {how: always}, "bunx": {how: always}, "flyctl": {how: always}, "gcloud": {how: always}, "glab": {how: always}, "gsutil": {how: always}, "heroku": {how: always}, "netlify": {how: always}, "npx": {how: always}, "oci": {how: always}, "pipx": {how: always}, "s3cmd": {how: always},
	"supabase": {how: always}, "uvx": {how: always}, "vercel": {how: always}, "wrangler": {how: always}, "youtube-dl": {how: urls}, "yt-dlp": {how: urls},
}

// plain are options with which a program tells of itself.
var plain = []string{"--help", "--version", "-h", "-V", "-v", "help", "version"}

// reached notes a host that is named.
func (a *analysis) reached(host string) {
	switch {
	case host == "" || agent.Loopback(host):
	case len(a.out.Hosts) >= maxItems:
		a.unnamed("more hosts than are counted")
	default:
		a.out.Hosts = append(a.out.Hosts, host)
	}
}

// unnamed notes that a host is reached which is not named.
func (a *analysis) unnamed(phrase string) {
	if len(a.out.Online) < maxItems {
		a.out.Online = append(a.out.Online, phrase)
	}
}

// address notes the host of a word that is a URL, or begins with a host: HOST, HOST:PORT, HOST/PATH; false where it is not known.
func (a *analysis) address(v value) bool {
	if host, end, ok := agent.URLHost(v.text); ok || end > 0 {
		if !v.known && end >= v.sure || ok && host == "" {
			return false
		}
		a.reached(host)
		return true
	}
	if strings.Contains(v.text, "://") { // of a scheme that leads nowhere else
		return v.known || strings.Index(v.text, "://") < v.sure
	}
	text := v.text
	if i := strings.IndexAny(text, "/?#"); i >= 0 {
		text = text[:i]
	}
	if text == "" || !v.known && len(text) >= v.sure {
		return false
	}
	a.reached(agent.HostName(text[strings.LastIndexByte(text, '@')+1:]))
	return true
}

// connects notes which hosts a program reaches.
func (a *analysis) connects(name string, args []value) {
	if name = strings.TrimRight(name, "0123456789."); name == "pip" || name == "python" {
		if i := slices.IndexFunc(args, func(v value) bool { return v.text == "-m" }); name == "python" && i >= 0 && i+1 < len(args) {
			a.connects(args[i+1].text, args[i+2:])
		}
	}
	c, ok := online[name]
	if !ok {
		switch {
		case name == "gh" && len(args) > 0 && !slices.Contains(append([]string{"alias", "completion", "config"}, plain...), args[0].text):
			a.reached("github.com")
		case name == "go":
			a.goFetches(args)
		case name == "socat":
			for _, v := range args {
				if kind, rest, ok := strings.Cut(v.text, ":"); ok && slices.Contains([]string{"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "openssl", "ssl", "tcp-connect", "socks4", "socks5", "proxy"}, strings.ToLower(kind)) && !a.address(literal(rest)) {
					a.unnamed("socat")
				}
			}
		case name == "openssl":
			if i := slices.IndexFunc(args, func(v value) bool { return v.text == "-connect" || v.text == "-proxy" }); i >= 0 && i+1 < len(args) && !a.address(args[i+1]) {
				a.unnamed("openssl")
			}
		}
		return
	}
	g := c.grammar
	if p, ok := programs[name]; ok {
		g = p.grammar
	}
	options, operands := g.read(args)
	if len(args) == 1 && slices.Contains(plain, args[0].text) {
		return
	}
	found, unsure := false, false
	at := func(v value) {
		if a.address(v) {
			found = true
		} else {
			unsure = true
		}
	}
	targets, _ := has(options, c.named)
	for _, v := range targets {
		at(v)
	}
	if settings, _ := has(options, map[bool]string{true: "e execute", false: "o"}[name == "wget"]); name == "wget" || strings.HasPrefix(name, "s") || name == "autossh" {
		for _, v := range settings { // by which another host is meant
			key, value, ok := strings.Cut(v.text, "=")
			if key = strings.ToLower(strings.TrimSpace(key)); ok && (key == "hostname" || key == "proxyjump" || strings.HasSuffix(key, "_proxy")) {
				at(v.from(len(v.text) - len(value)))
			}
		}
	}
	switch c.how {
	case urls:
		for _, v := range args { // also in options that are not known
			if _, value, ok := strings.Cut(v.text, "="); ok && strings.HasPrefix(v.text, "-") && strings.Contains(value, "://") && !slices.Contains([]string{"-H", "-d"}, v.text[:min(2, len(v.text))]) && !strings.HasPrefix(v.text, "--header") && !strings.HasPrefix(v.text, "--data") {
				at(v.from(len(v.text) - len(value)))
			}
		}
		for _, v := range operands {
			if strings.HasPrefix(v.text, "-") || v.known && !strings.ContainsAny(v.text, "./:") && v.text != strings.ToLower(v.text) || v.known && strings.Trim(v.text, "0123456789") == "" {
				continue // GET, and what an option took
			}
			if (name == "http" || name == "https" || name == "xh") && strings.ContainsAny(v.text, "=@") && !strings.Contains(v.text, "://") {
				continue // what is sent
			}
			at(v)
		}
		if given(options, "K config i input-file") {
			unsure = true
		}
	case copied:
		for _, v := range operands {
			if strings.Contains(v.text, "://") {
				at(v)
			} else if host := agent.PathHost(v.text); host != "" && (v.known || strings.IndexByte(v.text, ':') < v.sure) {
				a.reached(host)
				found = true
			} else if !v.known {
				unsure = true
			}
		}
		found = found || !unsure // between files of this machine
	case hosts, oneHost:
		if c.how == oneHost && len(operands) > 1 {
			operands = operands[:1]
		}
		for _, v := range operands {
			if strings.HasPrefix(v.text, "+") || v.known && strings.Trim(v.text, "0123456789") == "" || strings.ToUpper(v.text) == v.text && len(v.text) < 6 && v.known && !strings.Contains(v.text, ".") {
				continue // +short, a port, the kind of a record
			}
			if host := agent.PathHost(v.text); host != "" && name == "sftp" {
				a.reached(host)
				found = true
				continue
			}
			at(v.from(strings.LastIndexByte(v.text, '@') + 1))
		}
		if given(options, "l") && strings.HasPrefix(name, "n") {
			found = true // it listens
		}
	case verbs:
		for _, v := range operands[:min(len(operands), 3)] {
			if slices.Contains(strings.Fields(c.verbs), v.text) || !v.known {
				a.unnamed(clip(name + " " + v.text))
				break
			}
		}
		if name == "yarn" && len(operands) == 0 {
			a.unnamed(name)
		}
		return
	case silent:
		return
	}
	if unsure || !found {
		a.unnamed(name)
	}
}

// goFetches reads which calls of go look for modules elsewhere.
func (a *analysis) goFetches(args []value) {
	for i, v := range args {
		if v.text == "get" && i < 2 || strings.Contains(v.text, "@") && !strings.HasPrefix(v.text, "-") || v.text == "mod" && i+1 < len(args) && slices.Contains([]string{"download", "tidy", "why", "graph"}, args[i+1].text) {
			a.unnamed(clip("go " + args[0].text))
			return
		}
	}
}

// upTo is a word without what follows its first n bytes.
func (v value) upTo(n int) value {
	return value{text: v.text[:n], known: v.known || n < v.sure, sure: min(n, v.sure)}
}

// spokenURL is a URL in a text.
var spokenURL = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\b(?i:https?|wss?|ftps?|sftp|ssh|git|grpcs?|rediss?|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|amqps?|smtps?|ldaps?)://[^\s'"\x60<>)\]}\\]+`)
})

// spoken notes the hosts of URLs in the words of a program of which it is not known what it does with them.
func (a *analysis) spoken(words []value) {
	for _, v := range words {
		for _, at := range spokenURL().FindAllStringIndex(v.text, maxSays) {
			if !a.address(v.from(at[0]).upTo(at[1] - at[0])) {
				a.unnamed("a URL that is put together")
			}
		}
	}
}

// sockets notes hosts that bash itself connects to.
func (a *analysis) sockets(list []*syntax.Redirect) {
	for _, r := range list {
		for _, v := range a.values(r.Word) {
			for _, prefix := range []string{"/dev/tcp/", "/dev/udp/"} {
				if rest, ok := strings.CutPrefix(v.text, prefix); ok {
					if i := strings.IndexByte(rest, '/'); i > 0 && (v.known || len(prefix)+i < v.sure) {
						a.reached(agent.HostName(rest[:i]))
					} else {
						a.unnamed(prefix)
					}
				}
			}
		}
	}
}

// gitConnects notes which repositories a command of Git reaches.
func (a *analysis) gitConnects(name string, options []option, operands []value) {
	repository := func(v value) {
		switch host := agent.PathHost(v.text); {
		case strings.Contains(v.text, "://"):
			if !a.address(v) {
				a.unnamed("git " + name)
			}
		case host != "" && (v.known || strings.IndexByte(v.text, ':') < v.sure):
			a.reached(host)
		case !v.known:
			a.unnamed("git " + name)
		case strings.ContainsAny(v.text, `/\`) || v.text == "." || v.text == "..":
		default:
			a.remoteNamed(v.text)
		}
	}
	switch name {
	case "clone":
		if len(operands) > 0 {
			repository(operands[0])
		}
		more, _ := has(options, "bundle-uri")
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
				if strings.Contains(v.text, "://") || agent.PathHost(v.text) != "" {
					repository(v)
				}
			}
			if operands[0].text == "add" && given(options, "f fetch") {
				a.remoteNamed("*")
			}
		case "update", "prune", "show":
			a.remoteNamed("*")
		}
	case "submodule":
		if len(operands) > 0 && operands[0].text == "add" && len(operands) > 1 {
			repository(operands[1])
		} else if len(operands) > 0 && operands[0].text == "update" {
			a.unnamed("git submodule update")
		}
	case "lfs", "svn", "p4", "send-email", "imap-send":
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
		if !a.address(literal(key[len("url."):])) {
			a.unnamed("git config " + clip(key))
		}
	case section == "remote" && (strings.HasSuffix(key, "url") || strings.HasSuffix(key, ".proxy")), key == "http.proxy", section == "http" && strings.HasSuffix(key, ".proxy"), key == "core.gitproxy":
		if host := agent.PathHost(v.text); host != "" && v.known && !strings.Contains(v.text, "://") {
			a.reached(host)
		} else if !a.address(v) && !strings.HasPrefix(v.text, "/") {
			a.unnamed("git config " + clip(key))
		}
	}
}
