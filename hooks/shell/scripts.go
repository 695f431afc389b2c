package shell

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// An input is what a command finds on its standard input: any of these texts.
type input struct {
	texts []value
}

// known reports whether all of it is written out.
func (in *input) known() bool {
	return in != nil && len(in.texts) > 0 && !slices.ContainsFunc(in.texts, func(v value) bool { return !v.known })
}

// stdin returns what a command reads: a here-document or here-string, or else what comes through a pipe. nil: it is not known at all.
func (a *analysis) stdin(redirs []*syntax.Redirect) *input {
	in := a.input
	for _, r := range redirs {
		switch r.Op {
		case syntax.Hdoc, syntax.DashHdoc:
			in = &input{[]value{a.heredoc(r.Hdoc)}}
		case syntax.WordHdoc:
			in = &input{a.values(r.Word)}
		case syntax.RdrIn:
			in = nil
			for _, v := range a.values(r.Word) {
				if texts := a.written(v); texts != nil {
					in = &input{texts}
				}
			}
		}
	}
	return in
}

// heredoc returns the text of a here-document.
func (a *analysis) heredoc(w *syntax.Word) value {
	out := value{known: true}
	if w == nil {
		return out
	}
	var b strings.Builder
	for _, p := range w.Parts {
		if l, ok := p.(*syntax.Lit); ok {
			b.WriteString(l.Value)
			continue
		}
		v := a.part(p, false)
		out.known = out.known && len(v) == 1 && v[0].known
		b.WriteString(v[0].text)
	}
	out.text = b.String()
	return out
}

// said returns what a statement prints, where it does nothing but print what is written out.
func (a *analysis) said(s *syntax.Stmt) *input {
	if s == nil {
		return nil
	}
	switch c := s.Cmd.(type) {
	case *syntax.Block:
		return a.saidAll(c.Stmts)
	case *syntax.Subshell:
		return a.saidAll(c.Stmts)
	case *syntax.BinaryCmd:
		if y, ok := c.Y.Cmd.(*syntax.CallExpr); ok && c.Op == syntax.Pipe && len(y.Args) > 0 && (y.Args[0].Lit() == "cat" && len(y.Args) == 1 || y.Args[0].Lit() == "tee") {
			return a.said(c.X)
		}
	case *syntax.CallExpr:
		words, known := a.words(c.Args)
		if len(words) == 0 || !words[0].known {
			return nil
		}
		switch args := words[1:]; base(words[0].text) {
		case "cat", "tee":
			if name := base(words[0].text); name == "tee" || len(args) == 0 || args[0].text == "-" {
				return a.stdin(s.Redirs)
			}
			var texts []value
			for _, v := range args {
				texts = append(texts, a.written(v)...)
			}
			if texts != nil {
				return &input{texts}
			}
		case "echo", "printf":
			echo := base(words[0].text) == "echo"
			for len(args) > 0 && (echo && len(args[0].text) > 1 && args[0].text[0] == '-' && strings.Trim(args[0].text[1:], "neE") == "" || !echo && args[0].text == "--") {
				args = args[1:]
			}
			all := make([]string, 0, len(args))
			for _, v := range args {
				text := v.text
				if t, ok := ansi(text); ok {
					text = t
				}
				all = append(all, text)
			}
			if !echo && len(all) > 1 {
				all = []string{format(all[0], all[1:])}
			}
			return &input{[]value{{text: strings.Join(all, " "), known: known}}}
		}
	}
	return nil
}

// format writes texts where a format of printf has their places, as often as there are texts.
func format(f string, texts []string) string {
	var b strings.Builder
	for {
		before := len(texts)
		for i := 0; i < len(f); i++ {
			if f[i] != '%' {
				b.WriteByte(f[i])
				continue
			}
			for i++; i < len(f) && strings.IndexByte("-+ #0123456789.*", f[i]) >= 0; i++ {
				continue
			}
			if i < len(f) && f[i] == '%' {
				b.WriteByte('%')
			} else if len(texts) > 0 {
				b.WriteString(texts[0])
				texts = texts[1:]
			}
		}
		if len(texts) == 0 || len(texts) == before || b.Len() > maxLong {
			return b.String()
		}
	}
}

func (a *analysis) saidAll(list []*syntax.Stmt) *input {
	out := value{known: true}
	for _, s := range list {
		in := a.said(s)
		if in == nil {
			return nil
		}
		for _, v := range in.texts[:1] {
			out.text += v.text + "\n"
			out.known = out.known && v.known
		}
	}
	return &input{[]value{out}}
}

// pipe reads what one command hands another.
func (a *analysis) pipe(c *syntax.BinaryCmd) {
	said := a.said(c.X)
	if opens(c.Y) {
		a.feeding(func() { a.within(func() { a.stmt(c.X) }) })
	} else {
		a.within(func() { a.stmt(c.X) })
	}
	before := a.input
	a.input = said
	a.perhaps(func() { a.stmt(c.Y) }) // some shells run the last of a pipe themselves
	a.input = before
}

// keeps notes what a statement writes into files, which may be run then.
func (a *analysis) keeps(s *syntax.Stmt) {
	var files []value
	for _, r := range s.Redirs {
		switch r.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll, syntax.AppClob, syntax.RdrAllClob, syntax.AppAllClob, syntax.RdrInOut:
			files = append(files, a.values(r.Word)...)
		}
	}
	if b, ok := s.Cmd.(*syntax.BinaryCmd); ok {
		if b.Op != syntax.Pipe {
			return
		}
		if y, ok := b.Y.Cmd.(*syntax.CallExpr); ok && len(y.Args) > 1 && y.Args[0].Lit() == "tee" {
			words, _ := a.words(y.Args[1:])
			files = append(files, operands(words)...)
		}
	} else if y, ok := s.Cmd.(*syntax.CallExpr); ok && len(y.Args) > 1 && y.Args[0].Lit() == "tee" {
		words, _ := a.words(y.Args[1:])
		files = append(files, operands(words)...)
	}
	if len(files) == 0 {
		return
	}
	said := a.said(s)
	if said == nil {
		return
	}
	for _, v := range files {
		paths, _ := a.at(v)
		for _, p := range paths {
			if p = path.Clean(p); len(a.files[p]) < maxSays {
				a.files[p] = append(a.files[p], said.texts...)
			}
		}
	}
}

// substituted returns the name under which a command finds what another one prints, or reads.
func (a *analysis) substituted(p *syntax.ProcSubst) value {
	v, there := a.substs[p]
	if !there {
		v = literal("/dev/fd/" + strconv.Itoa(1<<20+len(a.substs)))
		a.substs[p] = v
		if in := a.saidAll(p.Stmts); in != nil {
			a.files[v.text] = in.texts
		}
	}
	return v
}

// written returns what the command wrote into a file before.
func (a *analysis) written(v value) []value {
	var out []value
	paths, _ := a.at(v)
	for _, p := range paths {
		out = append(out, a.files[path.Clean(p)]...)
	}
	return out
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "zsh", "dash", "ksh", "ash", "mksh", "rbash", "fish"}, name)
}

// shell reads the call of a shell.
func (a *analysis) shell(args []value, redirs []*syntax.Redirect) {
	inline, named, input := false, 0, false
	for len(args) > 0 {
		v := args[0]
		if !v.known {
			a.hidden("what a shell runs")
			a.gitWithin(args[1:], true)
			return
		}
		if len(v.text) < 2 || v.text[0] != '-' && v.text[0] != '+' {
			break
		}
		args = args[1:]
		switch {
		case v.text == "--":
		case v.text == "--rcfile" || v.text == "--init-file":
			a.opaque("a script")
			args = args[min(1, len(args)):]
		case strings.HasPrefix(v.text, "--"):
		default:
			inline = inline || strings.Contains(v.text, "c")
			input = input || strings.Contains(v.text, "s")
			if strings.ContainsAny(v.text, "oO") { // the names of options come after the word; in some shells they are in it
				named++
			}
			if !inline && named > 0 && len(args) > 0 && !strings.HasPrefix(args[0].text, "-") {
				args, named = args[1:], named-1
			}
			continue
		}
		if v.text == "--" {
			break
		}
	}
	if inline {
		for i := range args[:min(named+1, len(args))] {
			if !args[i].known {
				a.hidden("what a shell runs")
				continue
			}
			before := a.zero
			a.zero = args[min(i+1, len(args)):min(i+2, len(args))]
			a.with(args[min(i+2, len(args)):], func() { a.text(args[i].text) })
			a.zero = before
		}
		return
	}
	if len(args) > 0 && args[0].text == "-" {
		args = args[1:]
	}
	if len(args) > 0 && !input {
		a.script(args, redirs)
		return
	}
	in := a.stdin(redirs)
	if in != nil {
		for _, v := range in.texts {
			a.with(args, func() { a.text(v.text) })
		}
	}
	if !in.known() {
		a.hidden("what a shell reads from its input")
	}
}

// script reads what a shell does with a file, the first of the words: what this command wrote there is read.
func (a *analysis) script(words []value, redirs []*syntax.Redirect) {
	texts := a.written(words[0])
	if slices.Contains([]string{"/dev/fd/0", "/dev/stdin", "/proc/self/fd/0"}, path.Clean(words[0].text)) {
		if in := a.stdin(redirs); in != nil {
			texts = in.texts
		}
	}
	for _, v := range texts {
		if !v.known {
			a.hidden("a script")
		}
		a.with(words[1:], func() { a.text(v.text) })
	}
	if texts == nil {
		a.opaque("a script")
		a.unknown("a script", words, a.stdin(redirs))
	}
}

// interpreters are given programs in their own language, which is not read here: in their words, in a file or on their input.
var interpreters = map[string]grammar{
	"awk": {takes: "Fvfe", longs: "assign= field-separator= file= include= source="}, "bun": {takes: "epr", longs: "eval= print= require="}, "deno": {}, "gawk": {takes: "EFefilv", longs: "assign= exec= field-separator= file= include= load= source="},
	"lua": {takes: "el"}, "mawk": {takes: "FWvf"}, "nawk": {takes: "Fvf"}, "node": {takes: "epr", longs: "eval= import= loader= print= require="}, "nodejs": {takes: "epr", longs: "eval= import= loader= print= require="}, "osascript": {takes: "els"},
	"perl": {takes: "Ee", may: "CDFIMdilmx0"}, "php": {takes: "BEFRcdfrtz"}, "pwsh": {}, "pypy": {takes: "QWXcm"}, "python": {takes: "QWXcm"}, "ruby": {takes: "CEIer", may: "FKTWix0"}, "tclsh": {}, "ts-node": {takes: "epr"}, "tsx": {takes: "epr"},
}

func interpreterOf(name string) (grammar, bool) {
	g, ok := interpreters[strings.TrimRight(name, "0123456789.")]
	return g, ok
}

// interpreter reads the call of a program that is given another program.
func (a *analysis) interpreter(name string, g grammar, args []value, redirs []*syntax.Redirect) {
	in := a.stdin(redirs)
	if text, rest, ok := ownText(name, g, args, in); ok && onlyLooks(name, text) && !slices.ContainsFunc(rest, func(v value) bool { return strings.ContainsAny(v.text, "|<>") }) {
		a.programText(text)
		a.wholes(rest)
		if slices.ContainsFunc(rest, func(v value) bool { return !v.known }) {
			a.opaque("what " + name + " reads")
		}
		return
	}
	a.unknown(name, args, in)
	for _, v := range args {
		a.programText(v.text)
	}
	if in != nil {
		for _, v := range in.texts {
			a.programText(v.text)
		}
	}
	g.early = !strings.Contains(name, "awk")
	options, files := g.read(args)
	awk := strings.HasSuffix(strings.TrimRight(name, "0123456789."), "awk")
	inline := awk || given(options, "c e E p r eval print exec source") && !given(options, "m")
	switch {
	case awk:
		if given(options, "f file E exec") {
			scripts, _ := has(options, "f file E exec")
			files = append(scripts[:1:1], files...)
		}
	case len(files) == 0 && !given(options, "m") && !inline || len(files) > 0 && files[0].text == "-":
		if !in.known() {
			a.hidden("what " + name + " reads from its input")
		}
		inline = true
	}
	if inline || in != nil || slices.ContainsFunc(files[:min(1, len(files))], func(v value) bool { return strings.ContainsAny(v.text, " {") }) {
		a.opaque("a program in its own text")
	}
	if len(files) > 0 {
		a.mentions(name, a.written(files[0]))
	}
	places := given(options, "i") && !strings.HasPrefix(name, "node") && !strings.HasPrefix(name, "python")
	if includes, _ := has(options, "i include"); awk {
		places = slices.ContainsFunc(includes, func(v value) bool { return strings.HasPrefix(v.text, "inplace") })
	}
	if places {
		if awk || !given(options, "e E") {
			files = files[min(1, len(files)):]
		}
		for _, v := range files {
			a.writes(v, agent.Write{})
		}
	}
}
