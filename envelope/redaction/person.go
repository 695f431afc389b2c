package redaction

import (
	"slices"
	"strings"
)

// nobody are names in paths that tell nothing about a person: accounts of machines, and what stands
// in documents.
var nobody = []string{
	"user", "username", "user-name", "user_name", "name", "you", "me", "your-name", "yourname", "your_name", "your-username", "example",
	"runner", "runneradmin", "git", "linuxbrew", "shared", "public", "default", "all users", "default user", "xxx", "foo", "app", "node",
	"vscode", "ubuntu", "ec2-user", "circleci", "jenkins", "travis", "gitpod", "codespace", "nonroot", "nobody", "index", "container",
	"containeradministrator", "vagrant", "builder", "build", "docker", "www-data", "postgres", "coder", "jovyan", "buildkite-agent", "vsts", "ci",
}

func isNobody(name string) bool { return slices.Contains(nobody, strings.ToLower(name)) }

func isName(c byte) bool { return isWord(c) || c == '.' || c == '-' || c == '+' || c >= 0x80 }

// name reads the name of an account at i.
func (v *view) name(i int) (from, to int, ok bool) {
	to, ok = v.run(i, 64, isName)
	if !ok {
		return 0, 0, false
	}
	for to > i && (v.at(to-1) == '.' || v.at(to-1) == '-' || v.at(to-1) == '+') {
		to--
	}
	name := v.s[i:to]
	if len(name) < 2 || isNobody(name) || v.at(to) == '(' || v.at(to) == '{' || v.at(to) == '$' {
		return 0, 0, false
	}
	if j, next := strings.LastIndexByte(name, '.'), v.at(to); j >= 0 && next != '/' && next != '\\' && isFileType(name[j+1:]) {
		return 0, 0, false // a page of a site, not a person
	}
	return i, to, shapeOf(name).letters() > 0
}

func isFileType(s string) bool {
	return slices.Contains([]string{"html", "htm", "js", "ts", "jsx", "tsx", "css", "php", "md", "json", "vue", "py", "go", "png", "svg", "yml", "yaml"}, s)
}

// pathStart reports whether an absolute path may begin at the slash at i.
func (v *view) pathStart(i int) bool {
	c := v.at(i - 1)
	switch {
	case c == '/':
		return v.has(i-7, "file://")
	case isAlpha(c) && (v.at(i-2) == '/' || v.at(i-2) == '\\'): // /c/Users, /mnt/c/Users
		return !isAlnum(v.at(i-3)) || v.has(i-6, "/mnt") || v.has(i-5, "mnt")
	case c == 'I' || c == 'L':
		return v.at(i-2) == '-'
	case c == 'r' && v.has(i-4, "/var"), c == 't' && v.has(i-7, "/export"), c == 's' && v.has(i-8, "/Volumes"):
		return true
	case c == '.' || c == '-' || c == '~' || c == '%' || c == '}' || c == ')' || c == ']' || c >= 0x80:
		return false
	}
	return v.wordStart(i)
}

// unixHome finds names in /home/NAME, /Users/NAME and C:\Users\NAME.
func unixHome(v *view, start, end int) (from, to int, ok bool) {
	if v.at(start) == '\\' {
		return windowsHome(v, start, end)
	}
	if v.at(start) == '%' && (v.has(start+3, "home") || v.has(start+3, "Users")) {
		return v.name(end)
	}
	if !v.has(start, "/home/") && !v.has(start, "/Users/") {
		return 0, 0, false
	}
	if v.at(start-1) == ':' && isAlpha(v.at(start-2)) && v.at(start+1) == 'U' { // C:/Users
		return v.name(end)
	}
	if !v.pathStart(start) {
		return 0, 0, false
	}
	return v.name(end)
}

// windowsHome finds names in C:\Users\NAME, with backslashes doubled as often as may be, and with
// spaces in the name if a backslash follows.
func windowsHome(v *view, start, end int) (from, to int, ok bool) {
	i, _ := v.back(start, 8, func(c byte) bool { return c == '\\' })
	if v.at(i-1) != ':' || !isAlpha(v.at(i-2)) || isAlnum(v.at(i-3)) && !v.wordStart(i-2) {
		return 0, 0, false
	}
	from, _ = v.run(end, 8, func(c byte) bool { return c == '\\' })
	to, ok = v.run(from, 64, func(c byte) bool { return isName(c) || c == ' ' || c == '\'' })
	if ok && v.at(to) == '\\' && to > from && !isNobody(v.s[from:to]) {
		return from, to, v.s[from] != ' '
	}
	return v.name(from)
}

// rootHome finds /root as the beginning of a path, or all of it.
func rootHome(v *view, start, end int) (from, to int, ok bool) {
	if !v.has(start, "/root") || !v.pathStart(start) {
		return 0, 0, false
	}
	c := v.at(end)
	return start + 1, end, c == '/' && v.at(end+1) != '/' || c == 0 || isSpace(c) || isQuote(c) || c == ':' || c == ',' || c == ';' || c == ')'
}

// tildeHome finds names in ~NAME/. Those in URLs are published.
func tildeHome(v *view, start, end int) (from, to int, ok bool) {
	if !v.wordStart(start) || strings.IndexByte("~./)]}", v.at(start-1)) >= 0 || !isLower(v.at(end)) {
		return 0, 0, false
	}
	from, to, ok = v.name(end)
	return from, to, ok && v.at(to) == '/' && to-from >= 2
}

// encodedHome finds names in paths whose slashes were made dashes, as programs do that keep a folder
// for each project: -home-NAME-project. The name ends at the next dash.
func encodedHome(v *view, start, end int) (from, to int, ok bool) {
	if !v.has(start, "-home-") && !v.has(start, "-Users-") {
		return 0, 0, false
	}
	if c := v.at(start - 1); c != '/' && c != '\\' && (c != '-' || !isUpper(v.at(start-2)) || isAlnum(v.at(start-3))) {
		return 0, 0, false
	}
	to, ok = v.run(end, 64, func(c byte) bool { return isWord(c) || c >= 0x80 })
	return end, to, ok && v.at(to) == '-' && to > end && !isNobody(v.s[end:to])
}

// email finds addresses.
func email(v *view, start, end int) (from, to int, ok bool) {
	from, ok = v.back(start, hold, func(c byte) bool { return isName(c) && c < 0x80 })
	if !ok || from == start || v.at(from) == '.' || v.at(from) == '-' {
		return 0, 0, false
	}
	if c := v.at(from - 1); c == '/' || c == ':' && !v.has(from-7, "mailto:") {
		return 0, 0, false // the user of a URL
	}
	to, ok = v.run(end, 253, isDotted)
	for to > end && !isAlnum(v.at(to-1)) {
		to--
	}
	domain := v.s[end:to]
	dot := strings.LastIndexByte(domain, '.')
	if !ok || dot < 1 || len(domain)-dot < 3 || shapeOf(domain[dot+1:]).lower != len(domain)-dot-1 || v.at(to) == ':' && v.s[from:start] == "git" {
		return 0, 0, false
	}
	return from, to, true
}

// anchors adds what finds a person's names.
func (p Person) anchors(add func(Rule, matcher, ...string)) {
	if home := strings.TrimRight(p.Home, `/\`); len(home) > 1 && len(home) <= 200 {
		i := strings.LastIndexAny(home, `/\`) + 1
		if last := home[i:]; last != "" && !isNobody(last) {
			for _, h := range []string{home, strings.ReplaceAll(home, `\`, `\\`), strings.ReplaceAll(home, `\`, `/`)} {
				add(Home, givenHome(h, len(last)), h)
			}
		}
	}
	if len(p.User) >= 3 && len(p.User) <= hold && !isNobody(p.User) && !slices.Contains([]string{"root", "admin", "test", "dev", "main", "master"}, p.User) {
		add(User, wholeWord(p.User, false), p.User)
	}
	if len(p.Host) >= 3 && len(p.Host) <= 200 && !slices.Contains([]string{"localhost", "host", "local", "ubuntu", "debian"}, p.Host) {
		add(Host, wholeWord(p.Host, true), p.Host)
	}
}

func givenHome(home string, last int) matcher {
	return func(v *view, start, end int) (from, to int, ok bool) {
		return end - last, end, v.has(start, home) && !isName(v.at(end)) && (v.wordStart(start) && v.at(start-1) != '.')
	}
}

func wholeWord(word string, fold bool) matcher {
	return func(v *view, start, end int) (from, to int, ok bool) {
		return start, end, (fold || v.has(start, word)) && v.wordStart(start) && v.at(start-1) < 0x80 && !isWord(v.at(end)) && v.at(end) < 0x80
	}
}

func literal(secret string) matcher {
	return func(v *view, start, _ int) (from, to int, ok bool) {
		return start, start + len(secret), v.has(start, secret)
	}
}
