package shell

import (
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// call reads a simple command.
func (a *analysis) call(c *syntax.CallExpr, redirs []*syntax.Redirect) {
	for _, s := range c.Assigns {
		a.assign(s, len(c.Args) == 0)
	}
	for _, w := range c.Args {
		a.inside(w)
	}
	before := a.place
	var after place
	for i, words := range a.variants(c.Args) {
		a.place = before
		a.called(words, redirs)
		if after = after.or(a.place); i == 0 {
			after = a.place
		}
	}
	a.place = after
}

// variants are the lists of words that a command may have: one for each value of a variable, where several are known.
func (a *analysis) variants(words []*syntax.Word) [][]value {
	out := [][]value{nil}
	for _, w := range words {
		choices := a.choices(w)
		if len(out)*len(choices) > maxSays {
			a.hidden("which of many words a command has")
			choices = [][]value{slices.Concat(choices...)}
		}
		if len(choices) == 1 {
			for i := range out {
				out[i] = append(out[i], choices[0]...)
			}
			continue
		}
		next := make([][]value, 0, len(out)*len(choices))
		for _, left := range out {
			for _, c := range choices {
				next = append(next, slices.Concat(left, c))
			}
		}
		out = next
	}
	return out
}

// choices are what a word may be: several words for each choice, where braces or "$@" say so.
func (a *analysis) choices(w *syntax.Word) [][]value {
	if len(w.Parts) == 1 {
		part := w.Parts[0]
		if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
			part = q.Parts[0]
		}
		if p, ok := part.(*syntax.ParamExp); ok && p.Param != nil && (p.Param.Value == "@" || p.Param.Value == "*") && p.Exp == nil && p.Slice == nil && p.Repl == nil && !p.Length && len(a.positional) > 0 {
			return a.positional
		}
	}
	if lists := a.fields(w); len(lists) > 0 {
		return lists
	}
	values := a.values(w)
	if !slices.ContainsFunc(values, func(v value) bool { return v.choice }) {
		return [][]value{values}
	}
	out := make([][]value, 0, len(values))
	for i := range values {
		out = append(out, values[i:i+1])
	}
	return out
}

// called reads a simple command by its words.
func (a *analysis) called(words []value, redirs []*syntax.Redirect) {
	if len(words) == 0 {
		return
	}
	if a.calls++; a.calls > maxItems {
		a.hidden("more commands than are read")
		return
	}
	a.mentioned(words)
	if name := words[0]; name.known && (a.functions[name.text] != nil || a.aliases[name.text] != nil) {
		a.invoke(name.text, words[1:])
		if a.knows(base(name.text)) {
			a.perhaps(func() { a.run(words, redirs) })
		}
		return
	}
	a.run(words, redirs)
}

// run reads a command by its words, the first of which is its name.
func (a *analysis) run(words []value, redirs []*syntax.Redirect) {
	if a.depth >= maxDepth {
		a.hidden(hiddenDeep)
		return
	}
	a.depth++
	defer func() { a.depth-- }()
	if len(words) == 0 {
		return
	}
	name := words[0]
	if !name.known || name.glob && name.text != "[" {
		a.hidden("the name of a command")
		a.gitWithin(words[1:], true)
		if in := a.stdin(redirs); in != nil { // it may be a shell
			for _, v := range in.texts {
				a.text(v.text)
			}
		}
		return
	}
	args := words[1:]
	b := base(strings.TrimPrefix(name.text, "=")) // zsh finds =git on its PATH
	if small := strings.ToLower(b); small != b && b != "HEAD" && a.knows(small) {
		b = small // some systems find it so
	}
	g, interprets := interpreterOf(b)
	a.folderReaders(b, args)
	a.connects(b, args)
	if slices.Contains([]string{"cpio", "git", "gtar", "pax", "rsync", "tar"}, b) { // names of files may come that way
		if in := a.stdin(redirs); in != nil {
			for _, v := range in.texts {
				for _, w := range strings.Fields(v.text) {
					a.names(literal(w), false)
				}
			}
		}
	}
	if b == "patch" || b == "git" && len(args) > 0 && (args[0].text == "am" || args[0].text == "apply") {
		a.patched(a.stdin(redirs))
	}
	switch {
	case b == "git":
		a.git(args)
	case strings.HasPrefix(b, "git-") && len(b) > 4:
		a.git(append([]value{literal(b[4:])}, args...))
	case b == "covenant" || b == "git-covenant":
		a.covenant(args)
	case strings.HasPrefix(b, "covenant-"):
		a.covenant(append([]value{literal(b[len("covenant-"):])}, args...))
	case isShell(b):
		a.shell(args, redirs)
	case b == "eval":
		a.joined(args, "what eval runs")
	case b == "." || b == "source":
		if len(args) > 0 {
			a.script(args, redirs)
		}
	case b == "cd" || b == "pushd" || b == "chdir":
		a.cd(args)
	case b == "popd":
		a.back()
	case b == "set":
		if i := slices.IndexFunc(args, func(v value) bool { return v.text == "--" || v.text != "" && v.text[0] != '-' && v.text[0] != '+' }); i >= 0 {
			if args[i].text == "--" {
				i++
			}
			a.perhapsGiven(args[i:])
		}
	case b == "shift":
		n := 1
		if len(args) > 0 {
			n, _ = strconv.Atoi(args[0].text)
		}
		for _, list := range a.positional {
			a.perhapsGiven(list[min(max(n, 0), len(list)):])
		}
	case b == "alias":
		for _, v := range args {
			if name, text, ok := strings.Cut(v.text, "="); ok && v.known {
				a.aliases[name] = append(a.aliases[name], text)
				a.text(text)
			} else if !v.known {
				a.hidden("an alias")
			}
		}
	case b == "hash":
		options, names := grammar{takes: "p", early: true}.read(args)
		files, _ := has(options, "p")
		for _, v := range files {
			for _, n := range names {
				a.aliases[n.text] = append(a.aliases[n.text], v.text)
			}
		}
	case b == "apply_patch" || b == "applypatch": // some agents do it themselves
		in := a.stdin(redirs)
		if len(args) > 0 {
			in = &input{args[:1]}
		}
		if !a.patched(in) {
			a.hidden("what a patch changes")
		}
	case b == "ssh":
		a.ssh(args)
	case b == "trap":
		if _, rest := (grammar{early: true}).read(args); len(rest) > 1 {
			a.given(rest[0], "what a trap runs")
			if a.traps = append(a.traps, rest[0].text); len(a.traps) > maxSays {
				a.traps = a.traps[:maxSays]
				a.hidden("what a trap runs")
			}
		}
	case b == "at" || b == "batch" || b == "crontab" && (len(args) == 0 || args[0].text != "-l"):
		a.around("what " + b + " runs has no mark of an agent")
	case b == "env" || b == "genv":
		a.environment(args, redirs)
	case b == "command" || b == "builtin" || b == "exec":
		options, rest := grammar{takes: "a", early: true}.read(args)
		if b == "exec" && given(options, "c") {
			a.around("it takes the marks of an agent away with exec -c")
		}
		if b == "command" && given(options, "v V") {
			return
		}
		a.run(rest, redirs)
	case b == "find" || b == "fd" || b == "fdfind":
		a.find(b, args, redirs)
	case slices.Contains(wrappers, b):
		a.wrapped(b, args, redirs)
	case interprets:
		a.interpreter(b, g, args, redirs)
	case a.builtin(b, args) || a.writer(b, args) || slices.Contains(readers, b):
	case b == "gh" && len(args) > 0 && slices.Contains([]string{"issue", "pr", "release", "run", "search"}, args[0].text):
	default:
		if texts := a.written(name); strings.Contains(name.text, "/") && texts != nil {
			a.script(words, redirs)
		}
		a.gitWithin(args, false)
		a.outputs(b, args)
		a.unknown(b, args, a.stdin(redirs))
	}
}

// wrappers run what follows them.
var wrappers = []string{
	"busybox", "caffeinate", "chroot", "chrt", "doas", "firejail", "flock", "ionice", "nice", "nohup", "parallel", "pkexec", "proot", "rlwrap", "runuser", "script", "setarch", "setpriv", "setsid", "stdbuf", "strace",
	"su", "sudo", "systemd-run", "taskset", "then", "time", "timeout", "toybox", "unbuffer", "unshare", "watch", "winpty", "xargs", "xvfb-run",
}

// readers print, search or compare what they name, and change nothing: they may be told of anything.
var readers = strings.Fields(`: [ ack ag basename bat break cat cksum cmp column comm continue cut date diff dirname du echo egrep exit expr false fgrep file fold grep head hexdump jobs jq kill ldd ls md5sum more nl nm objdump od
	paste printenv printf pwd readelf readlink realpath return rev seq sha1sum sha256sum sleep ssh-add stat strings tac tail test tr true type ulimit umask wc whereis which xargs zcat`)

// gitWithin looks for a git, a covenant or a shell among words whose meaning is not known. sure: one of them may be the command.
func (a *analysis) gitWithin(args []value, sure bool) {
	for i, v := range args {
		if !v.known {
			continue
		}
		switch b := base(v.text); {
		case b == "git":
			a.git(args[i+1:])
			return
		case sure && strings.Contains(v.text, "git "):
			a.text(v.text)
		case isShell(b) && i+1 < len(args) && (sure || strings.HasPrefix(args[i+1].text, "-")):
			a.shell(args[i+1:], nil)
			return
		}
	}
	if sure {
		for _, v := range args {
			if isNoVerify(v.text) {
				a.around("--no-verify")
			}
		}
	}
}

// wrapped reads a program that runs another.
func (a *analysis) wrapped(name string, args []value, redirs []*syntax.Redirect) {
	others := slices.Contains([]string{"doas", "pkexec", "runuser", "su", "sudo"}, name)
	if others || name == "systemd-run" {
		acted := a.acts
		a.acts = false
		defer func() {
			if a.acts {
				a.around("it takes the marks of an agent away with " + name)
			}
			a.acts = a.acts || acted
		}()
	}
	if name == "script" || name == "su" || name == "watch" || name == "flock" || name == "parallel" || name == "runuser" {
		options, operands := grammar{takes: "cE", longs: "command="}.read(args)
		texts, _ := has(options, "c command")
		for _, v := range texts {
			a.given(v, "what "+name+" runs")
		}
		for _, v := range operands {
			if v.known && strings.Contains(v.text, " ") {
				a.text(v.text)
			} else if name == "script" {
				a.writes(v, agent.Write{})
			}
		}
	}
	if options, _ := (grammar{longs: "reset-env"}).read(args); name == "setpriv" && given(options, "reset-env") {
		a.around("it takes the marks of an agent away with setpriv")
	}
	if name == "strace" || name == "time" {
		options, _ := grammar{takes: "aefoPsuU", longs: "output=", early: true}.read(args)
		a.options(name, program{writes: "o output"}, options)
	}
	in := a.stdin(redirs)
	if name == "xargs" {
		options, _ := grammar{takes: "aEILPdns", longs: "arg-file=", early: true}.read(args)
		files, _ := has(options, "a arg-file")
		for _, v := range files {
			in = nil
			if texts := a.written(v); texts != nil {
				in = &input{texts}
			}
		}
	}
	for i, v := range args {
		if !v.known {
			a.hidden("the name of a command")
			a.gitWithin(args[i+1:], true)
			a.mentions(name, args)
			return
		}
		if strings.HasPrefix(v.text, "-") {
			continue
		}
		if k, val, ok := strings.Cut(v.text, "="); ok && k != "" && !strings.ContainsAny(k, "/.") {
			a.binds(k, binding{value: literal(val)})
			continue
		}
		b := base(v.text)
		if !a.knows(b) || others && i > 0 && slices.Contains([]string{"-g", "-u", "--group", "--user"}, args[i-1].text) {
			continue // none, or who runs it
		}
		if name == "xargs" || name == "parallel" {
			a.folderReaders(b, append(args[i+1:len(args):len(args)], literal("."))) // what is read is followed by more
			if !slices.Contains(readers, b) && !a.onlyReads(args[i:]) {
				a.hidden("what the input adds to a command")
			}
			if _, _, reaches := callerOf(b); reaches && !in.known() {
				a.unnamed(clip(name + " " + b))
			}
			if in != nil {
				before := a.input
				a.input = nil // it is read
				defer func() { a.input = before }()
				for _, t := range in.texts {
					words := args[i:len(args):len(args)]
					for _, w := range strings.Fields(t.text) {
						words = append(words, literal(w))
					}
					a.called(words, nil)
				}
			}
		}
		a.run(args[i:], redirs)
		return
	}
	if name == "xargs" || name == "parallel" {
		a.hidden("what the input adds to a command")
	}
	a.gitWithin(args, true)
	a.unknown(name, args, in)
}

// knows reports whether a command is one that is read here.
func (a *analysis) knows(b string) bool {
	_, interprets := interpreterOf(b)
	_, writes := programs[b]
	_, _, reaches := callerOf(b)
	return interprets || writes || reaches || isShell(b) || binds(b) || strings.HasPrefix(b, "covenant") || strings.HasPrefix(b, "git-") || slices.Contains(wrappers, b) || slices.Contains(readers, b) ||
		slices.Contains([]string{"alias", "builtin", "cd", "chdir", "command", "env", "eval", "exec", "fd", "find", "gh", "git", "go", "hash", "openssl", "popd", "pushd", "set", "shift", "socat", "source", "trap", "unset"}, b)
}

// ssh reads what another machine is told, where that is this one: nothing there has the marks of an agent.
func (a *analysis) ssh(args []value) {
	_, rest := online["ssh"].read(args)
	if len(rest) < 2 {
		return
	}
	_, words := online["ssh"].read(rest[1:]) // options stand behind the host, too
	host := rest[0].text[strings.LastIndexByte(rest[0].text, '@')+1:]
	here := agent.Loopback(agent.HostName(host)) || host == "0" || strings.HasPrefix(host, "127.") || strings.HasPrefix(host, "ip6-lo")
	if len(words) == 0 || !here && rest[0].known {
		return
	}
	acted := a.acts
	a.acts = false
	if a.joined(words, "what ssh runs"); a.acts {
		a.around("it takes the marks of an agent away with ssh")
	}
	a.acts = a.acts || acted
}

// covenant reads the calls of our own programs by which an agent would leave the gate.
func (a *analysis) covenant(args []value) {
	var names []string
	for _, v := range args {
		if !v.known {
			a.hidden("a command of covenant")
			return
		}
		if !strings.HasPrefix(v.text, "-") {
			names = append(names, v.text)
		}
	}
	for i, v := range args {
		if v.text == "--identity" && i+1 < len(args) {
			a.out.As = append(a.out.As, args[i+1].text)
		}
		if rest, ok := strings.CutPrefix(v.text, "--identity="); ok {
			a.out.As = append(a.out.As, rest)
		}
	}
	a.acts = true
	// What follows an option may be its argument, and the command stand behind: then any word may be it.
	first := 0
	if len(args) > 0 && strings.HasPrefix(args[0].text, "-") {
		first = len(names) - 1
	}
	for i := 0; i <= first && i < len(names); i++ {
		then := func(words ...string) bool {
			return slices.ContainsFunc(names[i+1:], func(n string) bool { return slices.Contains(words, n) })
		}
		switch name := names[i]; {
		case name == "disable", name == "hooks" && then("install", "uninstall"), name == "identity" && then("use"):
			a.around("covenant " + name + " is for people, where it changes something")
		case name == "hooks" && then("exec", "run"), (name == "agent-hook" || name == "hook") && i+1 < len(names) && names[i+1] != "version":
			a.around("covenant " + name + " is for agents and Git to start")
		}
	}
}
