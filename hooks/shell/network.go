package shell

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// reached notes a host that is named; false for one whose name no grant could have.
func (a *analysis) reached(host string) bool {
	switch {
	case host == "":
		return false
	case agent.Loopback(host):
	case len(a.out.Hosts) >= maxItems:
		a.unnamed("more hosts than are counted")
	default:
		a.out.Hosts = append(a.out.Hosts, host)
	}
	return true
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
		return (v.known || end < v.sure) && (!ok || a.reached(host))
	}
	if scheme, _, found := strings.Cut(v.text, "://"); found && !strings.ContainsAny(scheme, "/?#") { // one that leads nowhere else
		return v.known || len(scheme) < v.sure
	}
	text := v.text
	if i := strings.IndexAny(text, "/?#"); i >= 0 {
		text = text[:i]
	}
	if text == "" || strings.HasSuffix(text, ":") || !v.known && len(text) >= v.sure || strings.Contains(text, "\\") || strings.Count(text, "@") > 1 {
		return false
	}
	return a.reached(agent.HostName(text[strings.LastIndexByte(text, '@')+1:]))
}

// addresses notes the hosts of a list in a word.
func (a *analysis) addresses(v value) bool {
	all, at := true, 0
	for part := range strings.SplitSeq(v.text, ",") {
		if (part != "" || v.text == "") && part != "none" && !a.address(v.from(at).upTo(len(part))) {
			all = false
		}
		at += len(part) + 1
	}
	return all
}

// callerOf returns how a program reaches hosts, by its name without a version; false for one of which that is not known.
func callerOf(name string) (c caller, short string, ok bool) {
	short = strings.TrimRight(name, "0123456789.")
	if c, ok = online[short]; ok {
		if p, writes := programs[short]; writes {
			c.grammar = p.grammar
		}
	}
	return c, short, ok
}

// connects notes which hosts a program reaches.
func (a *analysis) connects(name string, args []value) {
	c, name, ok := callerOf(name)
	switch {
	case name == "python":
		a.module(args)
	case name == "gh":
		a.gh(args)
	case name == "go":
		a.goFetches(args)
	case name == "openssl":
		a.openssl(args)
	case name == "socat":
		a.socat(args)
	}
	if !ok || len(args) == 1 && slices.Contains(plain, args[0].text) {
		return
	}
	options, operands := c.read(args)
	found, unsure := false, given(options, c.lists)
	at := func(v value) {
		if a.address(v) {
			found = true
		} else {
			unsure = true
		}
	}
	targets, _ := has(options, c.named)
	for _, v := range targets {
		if name == "curl" && strings.HasPrefix(v.text, "@") { // URLs in a file
			unsure = true
			continue
		}
		at(v)
	}
	switch name {
	case "wget":
		settings, _ := has(options, "e execute")
		for _, v := range settings { // by which another host is meant
			key, value, ok := strings.Cut(v.text, "=")
			if key = strings.ToLower(strings.TrimSpace(key)); ok && strings.HasSuffix(key, "_proxy") && key != "use_proxy" && key != "no_proxy" {
				at(trimmed(v.from(len(v.text) - len(value))))
			}
			unsure = unsure || key == "input" || key == "base"
		}
	case "ssh", "autossh", "scp", "sftp":
		more, after := a.secureShell(name, args)
		unsure = unsure || !more
		if after != nil {
			operands = after
		}
	case "nc", "ncat", "netcat":
		runs, _ := has(options, "c e exec sh-exec")
		for _, v := range runs {
			a.given(v, "what "+name+" runs")
		}
	}
	switch c.how {
	case urls:
		if name == "mongosh" && len(operands) == 0 {
			return // this machine
		}
		for i, v := range args { // also in options that are not known
			if i > 0 && strings.Contains(v.text, "://") && strings.HasPrefix(args[i-1].text, "--") && !slices.ContainsFunc(strings.Fields(c.longs), func(l string) bool { return strings.TrimSuffix(l, "=") == args[i-1].text[2:] }) {
				at(v)
			}
			if _, value, ok := strings.Cut(v.text, "="); ok && strings.HasPrefix(v.text, "-") && strings.Contains(value, "://") && !slices.Contains([]string{"-H", "-d"}, v.text[:min(2, len(v.text))]) && !strings.HasPrefix(v.text, "--header") && !strings.HasPrefix(v.text, "--data") && !strings.HasPrefix(v.text, "--referer") {
				at(v.from(len(v.text) - len(value)))
			}
		}
		for _, v := range operands {
			httpie := name == "http" || name == "https" || name == "httpie" || name == "xh"
			switch {
			case httpie && (found || unsure): // what is sent
			case strings.HasPrefix(v.text, "-"), v.known && !strings.ContainsAny(v.text, "./:") && v.text != strings.ToLower(v.text), v.known && strings.Trim(v.text, "0123456789") == "": // GET, and what an option took
			case name == "grpcurl" && v.known && !strings.Contains(v.text, ":"): // what is called there
			case httpie && strings.HasPrefix(v.text, ":"): // a port of this machine
				found = true
			default:
				at(v)
			}
		}
	case copied:
		for _, v := range operands {
			if host, remote := agent.PathHost(v.text); strings.Contains(v.text, "://") {
				at(v)
			} else if remote && (v.known || strings.IndexByte(v.text, ':') < v.sure) {
				found = a.reached(host) || found
				unsure = unsure || host == ""
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
			if strings.HasPrefix(v.text, "+") || v.known && strings.Trim(v.text, "0123456789") == "" || c.how == hosts && strings.ToUpper(v.text) == v.text && len(v.text) < 6 && v.known && !strings.Contains(v.text, ".") {
				continue // +short, a port, the kind of a record
			}
			if host, remote := agent.PathHost(v.text); remote && name == "sftp" && !strings.Contains(v.text, "://") {
				found = a.reached(host)
				continue
			}
			at(v.from(strings.LastIndexByte(v.text, '@') + 1))
		}
		if strings.HasPrefix(name, "n") && given(options, "U unixsock") {
			return // a file
		}
		if given(options, "l listen") && strings.HasPrefix(name, "n") || strings.HasSuffix(name, "ssh") && len(operands) == 0 {
			found = true // it listens; somebody else says where to
		}
	case verbs:
		a.verb(name, c, args, operands)
		if unsure {
			a.unnamed(name)
		}
		return
	case silent:
		databases, _ := has(options, "d dbname")
		for _, v := range append(databases, operands...) {
			for field := range strings.FieldsSeq(v.text) {
				if rest, ok := strings.CutPrefix(field, "host="); ok && !a.addresses(value{text: rest, known: v.known}) {
					unsure = true
				}
			}
		}
		if unsure {
			a.unnamed(name)
		}
		return
	}
	if unsure || !found {
		a.unnamed(name)
	}
}

// quiet are the words by which such a program runs what the project says, and reaches nothing itself.
var quiet = strings.Fields("exec run run-script start stop t test")

// verb notes that a program is told, by one of its first words, to look elsewhere.
func (a *analysis) verb(name string, c caller, args, operands []value) {
	if name == "docker" && len(operands) > 1 && operands[0].text == "compose" {
		c.verbs, operands = "build create pull push run up", operands[1:]
		args = args[slices.IndexFunc(args, func(v value) bool { return v.text == "compose" })+1:]
	}
	for i, v := range operands[:min(len(operands), 3)] {
		if v.text == "init" && i == len(operands)-1 {
			return // a file, and nothing that is fetched for it
		}
		if slices.Contains(strings.Fields(c.verbs), v.text) || !v.known {
			a.unnamed(clip(name + " " + v.text))
			return
		}
		if i == 0 && args[0].text == v.text && slices.Contains(quiet, v.text) { // behind an option it may be what that takes
			return
		}
	}
	if (name == "yarn" || name == "bundle") && len(operands) == 0 {
		a.unnamed(name)
	}
}

// trimmed is a word without blanks and quotes around what it says.
func trimmed(v value) value {
	lead := len(v.text) - len(strings.TrimLeft(v.text, " \t\"'"))
	v = v.from(lead)
	return v.upTo(len(strings.TrimRight(v.text, " \t\"'")))
}

// secureShell reads which hosts the options of ssh and its like lead to, also those behind the host, and what they run here; false where that is not known. operands are what is left for ssh.
func (a *analysis) secureShell(name string, args []value) (known bool, operands []value) {
	known = true
	c, _, _ := callerOf(name)
	c.grammar.takes += "J" // of scp and sftp, too
	options, rest := c.read(args)
	if strings.HasSuffix(name, "ssh") && len(rest) > 0 {
		more, after := c.read(rest[1:])
		options, operands = append(options, more...), append(rest[:1:1], after...)
	}
	host := "%h"
	if len(operands) > 0 {
		host = operands[0].text[strings.LastIndexByte(operands[0].text, '@')+1:]
	}
	jumps, _ := has(options, "J")
	for _, v := range jumps {
		known = a.addresses(v) && known
	}
	settings, _ := has(options, "o")
	for _, v := range settings {
		v = trimmed(v)
		i := strings.IndexAny(v.text, "= \t")
		if i < 0 {
			known = known && v.known
			continue
		}
		key, says := strings.ToLower(v.text[:i]), v.from(i)
		says = trimmed(says.from(len(says.text) - len(strings.TrimLeft(says.text, "= \t"))))
		switch {
		case key == "hostname", key == "proxyjump":
			known = a.addresses(says) && known
		case key == "include":
			known = false
		case key == "proxycommand", key == "localcommand", key == "knownhostscommand":
			a.given(value{text: strings.NewReplacer("%h", host, "%n", host, "%p", "22").Replace(says.text), known: says.known}, "what ssh runs")
		}
	}
	return known, operands
}

// module reads which module python is told to run.
func (a *analysis) module(args []value) {
	for i, v := range args {
		if !strings.HasPrefix(v.text, "-") || strings.HasPrefix(v.text, "--") {
			return
		}
		at := strings.IndexAny(v.text, "cmQWX")
		switch {
		case at < 0:
		case v.text[at] != 'm':
			return
		case at+1 < len(v.text):
			a.connects(v.text[at+1:], args[i+1:])
			return
		case i+1 < len(args):
			a.connects(args[i+1].text, args[i+2:])
			return
		}
	}
}

// gh notes which host the tool of GitHub is told to reach: the one that it is made for, where it is told of none.
func (a *analysis) gh(args []value) {
	if len(args) == 0 || slices.Contains(append([]string{"alias", "completion", "config"}, plain...), args[0].text) {
		return
	}
	options, operands := grammar{takes: "BFHLRSTXabcdfhjlmnpqrtw", longs: "add-label= assignee= base= body= body-file= field= head= header= hostname= input= jq= json= label= limit= method= milestone= notes= project= raw-field= ref= repo= reviewer= search= template= title="}.read(args)
	named, other := has(options, "hostname")
	first := ""
	if len(operands) > 0 {
		first = operands[0].text
	}
	if first == "auth" {
		more, _ := has(options, "h")
		named, other = append(named, more...), other || len(more) > 0
	}
	repos, _ := has(options, "R repo")
	words := append(repos, operands...)
	for _, o := range options { // one that takes nothing elsewhere has the next word, too
		if strings.Contains(o.value.text, "://") && !slices.Contains(strings.Fields("b t F H body body-file header notes title R repo hostname"), o.name) {
			words = append(words, o.value)
		}
	}
	for i, v := range words {
		host, remote := agent.PathHost(v.text)
		before, _, _ := strings.Cut(v.text, "://")
		switch {
		case strings.ContainsAny(before, " ="):
			continue
		case strings.Contains(v.text, "://"), strings.Count(v.text, "/") == 2 && strings.Contains(v.text[:strings.IndexByte(v.text, '/')], "."):
			named = append(named, v)
		case remote:
			named = append(named, literal(host))
		default:
			continue
		}
		other = other || i < len(repos) || first == "repo" // elsewhere it may be what is said
	}
	for _, v := range named {
		if !a.address(v) {
			a.unnamed("gh")
		}
	}
	if !other {
		a.reached("github.com")
	}
}

// openssl reads which hosts its tools of TLS reach.
func (a *analysis) openssl(args []value) {
	if len(args) == 0 || !slices.Contains([]string{"ocsp", "s_client", "s_time"}, args[0].text) {
		return
	}
	for i, v := range args[1:] {
		before := args[i].text
		if slices.Contains([]string{"-connect", "-host", "-proxy", "-url"}, before) || strings.Contains(v.text, ":") && !strings.HasPrefix(v.text, "-") && !strings.HasPrefix(before, "-") {
			if !a.address(v) {
				a.unnamed("openssl")
			}
		}
	}
}

// socat reads which hosts the addresses of socat lead to, and what they run.
func (a *analysis) socat(args []value) {
	for _, v := range args {
		for one := range strings.SplitSeq(v.text, "!!") {
			kind, rest, ok := strings.Cut(one, ":")
			switch kind = strings.ToLower(kind); {
			case !ok || strings.HasPrefix(kind, "-"), strings.Contains(kind, "listen"), strings.Contains(kind, "recv"), strings.HasSuffix(kind, "-l"), strings.HasPrefix(kind, "unix"), strings.HasPrefix(kind, "abstract"),
				slices.Contains([]string{"create", "creat", "fd", "file", "gopen", "interface", "open", "pipe", "pty", "readline", "stdio", "tun"}, kind):
			case kind == "exec", kind == "shell", kind == "system":
				a.given(value{text: rest, known: v.known}, "what socat runs")
			default:
				rest, _, _ = strings.Cut(rest, ",")
				list := []string{rest}
				if parts := strings.Split(rest, ":"); strings.HasPrefix(kind, "socks") || strings.HasPrefix(kind, "proxy") {
					list = parts[:min(2, len(parts))]
				}
				for _, host := range list {
					if !v.known || !a.address(literal(host)) {
						a.unnamed("socat")
					}
				}
			}
		}
	}
}

// steered are variables that lead programs to a host, and strays those that lead them to settings which may.
var (
	steered = []string{"DOCKER_HOST", "GH_HOST", "MYSQL_HOST", "PGHOST", "PGHOSTADDR"}
	strays  = []string{"CURL_HOME", "HOSTALIASES", "PGSERVICEFILE", "SYSTEM_WGETRC", "WGETRC"}
)

// steers notes where a variable leads programs that reach hosts.
func (a *analysis) steers(name string, b binding) {
	small := strings.ToLower(name)
	switch {
	case b.gone || b.value.known && b.value.text == "":
	case slices.Contains(strays, name), name == "GH_REPO":
		a.unnamed(name)
	case slices.Contains(steered, name), strings.HasSuffix(small, "_proxy") && small != "no_proxy":
		if v := b.value; !strings.HasPrefix(v.text, "/") && !strings.HasPrefix(v.text, "unix:") && !a.addresses(v) {
			a.unnamed(name)
		}
	}
}

// goFetches reads which calls of go look for modules elsewhere.
func (a *analysis) goFetches(args []value) {
	if len(args) > 2 && args[0].text == "-C" {
		args = args[2:]
	}
	for i, v := range args {
		if v.text == "get" && i == 0 || strings.Contains(v.text, "@") && !strings.HasPrefix(v.text, "-") || v.text == "mod" && i+1 < len(args) && slices.Contains([]string{"download", "tidy", "why", "graph"}, args[i+1].text) {
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
	return regexp.MustCompile(`\b(?i:https?|wss?|ftps?|sftp|ssh|git|grpcs?|rediss?|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|amqps?|smtps?|ldaps?)://[^\s'"\x60<>)\]}]+`)
})

// spoken notes the hosts of URLs in the words of a program of which it is not known what it does with them.
func (a *analysis) spoken(words []value) {
	for _, v := range words {
		for _, at := range spokenURL().FindAllStringIndex(v.text, maxSays) {
			if before, after, cut := strings.Cut(v.text[at[0]:at[1]], `\`); cut && !strings.Contains(after, "@") {
				at[1] = at[0] + len(before)
			}
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
					if i := strings.IndexByte(rest, '/'); i < 1 || !v.known && len(prefix)+i >= v.sure || !a.reached(agent.HostName(rest[:i])) {
						a.unnamed(prefix)
					}
				}
			}
		}
	}
}
