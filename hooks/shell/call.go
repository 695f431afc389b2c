package shell

import (
	"slices"
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
	words, _ := a.words(c.Args)
	if len(words) == 0 {
		return
	}
	for _, v := range words[1:] {
		if v.known && (strings.Contains(v.text, "/") || v.glob) {
			a.reads(v)
		}
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
	if !name.known || name.glob {
		a.hidden("the name of a command")
		a.gitWithin(words[1:], true)
		return
	}
	args := words[1:]
	switch b := base(name.text); {
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
		text := make([]string, 0, len(args))
		for _, v := range args {
			if !v.known {
				a.hidden("what eval runs")
				a.gitWithin(args, true)
				return
			}
			text = append(text, v.text)
		}
		a.text(strings.Join(text, " "))
	case b == "." || b == "source":
		a.hidden("a script")
	case b == "cd" || b == "pushd" || b == "chdir":
		a.cd(args)
	case b == "popd":
		a.lost = true
	case b == "alias":
		for _, v := range args {
			if _, text, ok := strings.Cut(v.text, "="); ok && v.known {
				a.text(text)
			} else if !v.known {
				a.hidden("an alias")
			}
		}
	case b == "trap":
		if len(args) > 0 && args[0].known {
			a.text(args[0].text)
		}
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
		a.find(args, redirs)
	case slices.Contains(wrappers, b):
		a.wrapped(b, args, redirs)
	case slices.Contains(interpreters, strings.TrimRight(b, "0123456789.")):
		a.interpreter(args, redirs)
	case a.builtin(b, args):
	default:
		if !a.writer(b, args) && !slices.Contains(printers, b) {
			a.gitWithin(args, false)
		}
	}
}

// wrappers run what follows them.
var wrappers = []string{
	"busybox", "caffeinate", "chroot", "chrt", "doas", "firejail", "flock", "ionice", "nice", "nohup", "parallel", "pkexec", "proot", "rlwrap", "runuser", "script", "setarch", "setpriv", "setsid", "stdbuf", "strace",
	"su", "sudo", "systemd-run", "taskset", "then", "time", "timeout", "toybox", "unbuffer", "unshare", "watch", "winpty", "xargs", "xvfb-run",
}

// printers print or search what follows them, and start nothing.
var printers = []string{"[", "cat", "diff", "echo", "egrep", "fgrep", "grep", "head", "less", "ls", "man", "more", "printf", "rg", "tail", "test", "true", "type", "wc", "which", "whereis", "false", ":"}

var interpreters = []string{"awk", "bun", "deno", "gawk", "lua", "mawk", "nawk", "node", "nodejs", "osascript", "perl", "php", "pwsh", "pypy", "python", "ruby", "tclsh", "ts-node", "tsx"}

// interpreter reads the call of a program that is given another program.
func (a *analysis) interpreter(args []value, redirs []*syntax.Redirect) {
	inline := false
	for i, v := range args {
		if !strings.HasPrefix(v.text, "-") || v.text == "-" {
			continue
		}
		if v.text == "-e" || v.text == "-c" || v.text == "-E" || v.text == "--eval" || v.text == "-r" || strings.HasPrefix(v.text, "-p") || strings.HasPrefix(v.text, "-n") || v.text == "-le" || v.text == "-i" || v.text == "-pe" {
			inline = true
		}
		if strings.HasPrefix(v.text, "-") && !strings.HasPrefix(v.text, "--") && strings.Contains(v.text, "i") && strings.ContainsAny(v.text, "pne") { // perl -pi -e, ruby -pi
			program := strings.HasSuffix(v.text, "e") // what follows
			for _, f := range args[i+1:] {
				if strings.HasPrefix(f.text, "-") {
					program = strings.HasSuffix(f.text, "e")
					continue
				}
				if !program {
					a.writes(f, agent.Write{})
				}
				program = false
			}
		}
	}
	for _, r := range redirs {
		if r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc || r.Op == syntax.WordHdoc {
			inline = true
		}
	}
	if inline || len(args) > 0 && !strings.HasPrefix(args[0].text, "-") && strings.ContainsAny(args[0].text, " {") {
		a.hidden("a program in its own text")
	}
}

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
		case isShell(b) && i+1 < len(args):
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

// shell reads the call of a shell.
func (a *analysis) shell(args []value, redirs []*syntax.Redirect) {
	for i := 0; i < len(args); i++ {
		v := args[i]
		if !v.known {
			a.hidden("what a shell runs")
			a.gitWithin(args[i+1:], true)
			return
		}
		if strings.HasPrefix(v.text, "--") && v.text != "--" {
			if v.text == "--rcfile" || v.text == "--init-file" {
				i++
				a.hidden("a script")
			}
			continue
		}
		if strings.HasPrefix(v.text, "-") || strings.HasPrefix(v.text, "+") {
			if !strings.Contains(v.text, "c") || v.text == "--" {
				if strings.HasSuffix(v.text, "o") || strings.HasSuffix(v.text, "O") {
					i++ // the name of an option
				}
				continue
			}
			for j := i + 1; j < len(args); j++ {
				if s := args[j]; !strings.HasPrefix(s.text, "-") || !s.known {
					if !s.known {
						a.hidden("what a shell runs")
						return
					}
					a.text(s.text)
					return
				}
			}
			return
		}
		a.hidden("a script")
		return
	}
	for _, r := range redirs {
		switch r.Op {
		case syntax.Hdoc, syntax.DashHdoc:
			if text, ok := a.heredoc(r.Hdoc); ok {
				a.text(text)
				return
			}
		case syntax.WordHdoc:
			if v := a.values(r.Word); len(v) == 1 && v[0].known {
				a.text(v[0].text)
				return
			}
		}
	}
	a.hidden("what a shell reads from its input")
}

// heredoc returns the text of a here-document that holds nothing else.
func (a *analysis) heredoc(w *syntax.Word) (string, bool) {
	if w == nil {
		return "", true
	}
	var b strings.Builder
	for _, p := range w.Parts {
		l, ok := p.(*syntax.Lit)
		if !ok {
			v := a.part(p, false)
			if len(v) != 1 || !v[0].known {
				return "", false
			}
			b.WriteString(v[0].text)
			continue
		}
		b.WriteString(l.Value)
	}
	return b.String(), true
}

func (a *analysis) cd(args []value) {
	for len(args) > 0 && strings.HasPrefix(args[0].text, "-") && args[0].text != "-" && args[0].known {
		args = args[1:]
	}
	if len(args) == 0 {
		args = []value{literal(a.in.Home)}
	}
	v := args[0]
	if !v.known || v.glob || v.text == "-" || v.text == "" {
		a.lost = true
		return
	}
	to, _ := a.at(v)
	a.reads(v)
	a.dirs = to
	if strings.HasPrefix(v.text, "/") {
		a.lost = false
	}
}

// find reads find(1): what it runs for each file, and what it deletes.
func (a *analysis) find(args []value, redirs []*syntax.Redirect) {
	var starts []value
	for i := 0; i < len(args); i++ {
		v := args[i]
		if strings.HasPrefix(v.text, "-") || v.text == "(" || v.text == "!" {
			break
		}
		starts = append(starts, v)
	}
	if len(starts) == 0 {
		starts = []value{literal(".")}
	}
	for i, v := range args {
		switch v.text {
		case "-delete":
			for _, s := range starts {
				a.writes(s, agent.Write{Tree: true})
			}
		case "-fprint", "-fprint0", "-fls", "-fprintf":
			if i+1 < len(args) {
				a.writes(args[i+1], agent.Write{})
			}
		case "-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch":
			var tail []value
			for _, w := range args[i+1:] {
				if w.text == ";" || w.text == "+" {
					break
				}
				if strings.Contains(w.text, "{}") {
					tail = append(tail, starts...)
					continue
				}
				tail = append(tail, w)
			}
			before := len(a.out.Writes)
			a.run(tail, redirs)
			for j := before; j < len(a.out.Writes); j++ {
				a.out.Writes[j].Tree = true
			}
		}
	}
}

// wrapped reads a program that runs another.
func (a *analysis) wrapped(name string, args []value, redirs []*syntax.Redirect) {
	if name == "xargs" || name == "parallel" {
		a.hidden("what the input adds to a command")
	}
	if slices.Contains([]string{"doas", "pkexec", "runuser", "su", "sudo", "systemd-run"}, name) {
		acted := a.acts
		a.acts = false
		defer func() {
			if a.acts {
				a.around("it takes the marks of an agent away with " + name)
			}
			a.acts = a.acts || acted
		}()
	}
	if name == "script" || name == "su" || name == "watch" || name == "flock" || name == "parallel" {
		for i, v := range args {
			if (v.text == "-c" || v.text == "--command") && i+1 < len(args) && args[i+1].known {
				a.text(args[i+1].text)
			}
			if v.known && strings.Contains(v.text, " ") {
				a.text(v.text)
			}
		}
	}
	for i, v := range args {
		if !v.known {
			a.hidden("the name of a command")
			a.gitWithin(args[i+1:], true)
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
		if b == "git" || b == "env" || b == "eval" || b == "command" || b == "exec" || b == "builtin" || b == "find" || isShell(b) || strings.HasPrefix(b, "covenant") || strings.HasPrefix(b, "git-") ||
			slices.Contains(wrappers, b) || slices.Contains(interpreters, strings.TrimRight(b, "0123456789.")) || slices.Contains(writers, b) || slices.Contains(printers, b) {
			a.run(args[i:], redirs)
			return
		}
	}
	a.gitWithin(args, true)
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
	two := strings.Join(names[:min(2, len(names))], " ")
	switch {
	case two == "hooks uninstall" || two == "hooks install" || two == "identity use" || len(names) > 0 && names[0] == "disable":
		a.around("covenant " + two + " is for people")
	}
}
