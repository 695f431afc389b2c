// Package shell tells what a command line would do, without running it: which files it would write, and whether it goes around
// the gate. It reads the language of bash. It is a net with holes: what a program does is not in its command line, and a name that
// is made while the command runs cannot be read beforehand. docs/spec/agent-hooks.md says what is not caught, and which later moment does.
//
// What cannot be told is said ([agent.Effects.Hidden]); where something is hidden, the text is searched for the words by which the gate is gone around.
package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// Surroundings are what a command starts in.
type Surroundings struct {
	Dir   string // absolute
	Home  string
	Alias func(name string) (string, bool) // Git's own aliases; nil: none
}

// Limits.
const (
	maxParse  = 128 << 10 // bytes that are parsed; what is longer is hidden
	maxDepth  = 128       // of commands within commands
	maxNested = 256       // brackets open at once
	maxBraces = 32        // of one word
	maxParts  = 256       // of one word
	maxLong   = 256 << 10 // bytes of all values that one word may have
	maxText   = 8         // of texts that are commands within texts that are
	maxSays   = 64        // values that one word may have, directories that a command may be in
	maxItems  = 4096      // writes, reads
)

// Why a text is not read at all.
const (
	hiddenDeep = "commands nested too deep"
	hiddenLong = "a command of more than 128 KiB"
	hiddenBash = "it is not in the language of bash"
)

// Effects tells what a command would do.
func Effects(command string, in Surroundings) agent.Effects {
	a := &analysis{in: in, vars: map[string][]string{}}
	a.dirs = []string{path.Clean(in.Dir)}
	if in.Dir == "" {
		a.dirs, a.lost = nil, true
	}
	a.text(command)
	if a.moved != "" && (a.acts || len(a.out.Hidden) > 0) {
		a.around("it moves " + a.moved + ", where settings and keys are")
	}
	if len(a.out.Hidden) > 0 {
		a.search(command)
	}
	for _, list := range []*[]string{&a.out.Around, &a.out.Hidden, &a.out.Reads, &a.out.As} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return a.out
}

type analysis struct {
	in    Surroundings
	out   agent.Effects
	dirs  []string            // in one of which the command runs
	lost  bool                // it may run elsewhere, too
	vars  map[string][]string // what variables may hold; nil: anything
	depth int
	texts int
	moved string // a variable by which a command finds settings elsewhere
	acts  bool   // something of Git's or of ours runs that does not only read
}

func (a *analysis) around(phrase string) {
	if len(a.out.Around) < maxItems {
		a.out.Around = append(a.out.Around, phrase)
	}
}

func (a *analysis) hidden(phrase string) {
	if len(a.out.Hidden) < maxItems {
		a.out.Hidden = append(a.out.Hidden, phrase)
	}
}

// text reads a text as commands.
func (a *analysis) text(s string) {
	if a.texts >= maxText {
		a.hidden("commands in texts in texts")
		return
	}
	if len(s) > maxParse {
		a.hidden(hiddenLong)
		return
	}
	if nested(s) > maxNested {
		a.hidden(hiddenDeep)
		return
	}
	a.texts++
	defer func() { a.texts-- }()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(s), "")
	if err != nil {
		a.hidden(hiddenBash)
		if file == nil {
			return
		}
	}
	a.assigned(file)
	a.stmts(file.Stmts)
}

// nested is how many brackets of a text are open at once, at most, whatever they are part of: the parser tries some of them twice.
func nested(s string) int {
	deepest, depth := 0, 0
	for _, c := range []byte(s) {
		switch c {
		case '(', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', '}':
			depth = max(0, depth-1)
		}
	}
	return deepest
}

// assigned collects what variables may hold: every value that they are given anywhere.
func (a *analysis) assigned(n syntax.Node) {
	set := func(name string, values []string, known bool) {
		old, there := a.vars[name]
		if !known || there && old == nil || len(old)+len(values) > maxSays {
			a.vars[name] = nil
			return
		}
		a.vars[name] = append(old, values...)
	}
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Assign:
			if n.Name == nil || n.Naked && n.Value == nil {
				break
			}
			if n.Append || n.Array != nil || n.Index != nil {
				set(n.Name.Value, nil, false)
				break
			}
			values, known := []string{""}, true
			if n.Value != nil {
				values, known = texts(a.values(n.Value))
			}
			set(n.Name.Value, values, known)
		case *syntax.ParamExp:
			if n.Param != nil && n.Exp != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) {
				set(n.Param.Value, nil, false)
			}
		case *syntax.DeclClause:
			for _, s := range n.Args {
				if s.Name == nil && s.Value != nil {
					for _, v := range a.values(s.Value) {
						if name, _, sets := strings.Cut(v.text, "="); sets {
							set(name, nil, false)
						}
					}
				}
			}
		case *syntax.ForClause:
			if it, ok := n.Loop.(*syntax.WordIter); ok {
				for _, w := range it.Items {
					values, known := texts(a.values(w))
					set(it.Name.Value, values, known && !slices.ContainsFunc(a.values(w), func(v value) bool { return v.glob }))
				}
				if len(it.Items) == 0 {
					set(it.Name.Value, nil, false)
				}
			}
		case *syntax.CallExpr:
			if len(n.Args) > 0 {
				switch v := a.values(n.Args[0]); {
				case len(v) == 1 && v[0].known && binds(v[0].text):
					for _, w := range n.Args[1:] {
						for _, x := range a.values(w) {
							name, _, _ := strings.Cut(x.text, "=")
							if set(name, nil, false); strings.HasPrefix(name, "-") && len(name) > 2 {
								set(name[2:], nil, false)
							}
						}
					}
				}
			}
		}
		return true
	})
}

func texts(values []value) ([]string, bool) {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if !v.known {
			return nil, false
		}
		out = append(out, v.text)
	}
	return out, true
}

func (a *analysis) stmts(list []*syntax.Stmt) {
	if a.depth >= maxDepth {
		a.hidden(hiddenDeep)
		return
	}
	a.depth++
	defer func() { a.depth-- }()
	for _, s := range list {
		a.stmt(s)
	}
}

// within runs f where a change of directory is not seen outside.
func (a *analysis) within(f func()) {
	dirs, lost := slices.Clone(a.dirs), a.lost
	f()
	a.dirs, a.lost = dirs, lost
}

// perhaps runs f where it is not certain that it happens.
func (a *analysis) perhaps(f func()) {
	dirs, lost := slices.Clone(a.dirs), a.lost
	f()
	a.join(dirs, lost)
}

func (a *analysis) join(dirs []string, lost bool) {
	for _, d := range dirs {
		if !slices.Contains(a.dirs, d) {
			a.dirs = append(a.dirs, d)
		}
	}
	if a.lost = a.lost || lost; len(a.dirs) > maxSays {
		a.dirs, a.lost = a.dirs[:maxSays], true
	}
}

func (a *analysis) stmt(s *syntax.Stmt) {
	if s == nil {
		return
	}
	// A cd that fails leaves the directory as it was; what follows after ";" happens there.
	before := slices.Clone(a.dirs)
	run := func() {
		a.redirects(s.Redirs)
		a.command(s.Cmd, s.Redirs)
	}
	if s.Background {
		a.within(run)
		return
	}
	run()
	if len(a.dirs) != len(before) || !slices.Equal(a.dirs, before) {
		a.join(before, false)
	}
}

// strict is stmt where what follows happens only if it succeeded.
func (a *analysis) strict(s *syntax.Stmt) {
	if s == nil {
		return
	}
	a.redirects(s.Redirs)
	a.command(s.Cmd, s.Redirs)
}

func (a *analysis) command(c syntax.Command, redirs []*syntax.Redirect) {
	if a.depth >= maxDepth {
		a.hidden(hiddenDeep)
		return
	}
	a.depth++
	defer func() { a.depth-- }()
	switch c := c.(type) {
	case nil:
	case *syntax.CallExpr:
		a.call(c, redirs)
	case *syntax.BinaryCmd:
		a.binary(c)
	case *syntax.Subshell:
		a.within(func() { a.stmts(c.Stmts) })
	case *syntax.Block:
		a.stmts(c.Stmts)
	case *syntax.IfClause:
		for n := c; n != nil; n = n.Else {
			a.stmts(n.Cond)
			a.perhaps(func() { a.stmts(n.Then) })
		}
	case *syntax.WhileClause:
		a.stmts(c.Cond)
		a.perhaps(func() { a.stmts(c.Do) })
	case *syntax.ForClause:
		if it, ok := c.Loop.(*syntax.WordIter); ok {
			a.iterates(it)
		}
		a.inside(c.Loop)
		a.perhaps(func() { a.stmts(c.Do) })
	case *syntax.CaseClause:
		a.inside(c.Word)
		for _, item := range c.Items {
			for _, w := range item.Patterns {
				a.inside(w)
			}
			a.perhaps(func() { a.stmts(item.Stmts) })
		}
	case *syntax.FuncDecl:
		a.perhaps(func() { a.stmt(c.Body) })
	case *syntax.TimeClause:
		a.stmt(c.Stmt)
	case *syntax.CoprocClause:
		if c.Name != nil {
			for _, v := range a.values(c.Name) {
				a.named(v, binding{lasting: true})
			}
		}
		a.within(func() { a.stmt(c.Stmt) })
	case *syntax.DeclClause:
		a.clause(c)
	default:
		a.inside(c)
	}
}

func (a *analysis) binary(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.AndStmt:
		a.strict(c.X)
		a.strict(c.Y)
	case syntax.OrStmt:
		a.stmt(c.X)
		a.perhaps(func() { a.stmt(c.Y) })
	default: // a pipe
		a.within(func() { a.stmt(c.X) })
		a.within(func() {
			if said, ok := a.said(c.X); ok && c.Y != nil {
				if call, is := c.Y.Cmd.(*syntax.CallExpr); is && a.readsCommands(call) {
					for _, s := range said {
						a.text(s)
					}
					a.redirects(c.Y.Redirs)
					return
				}
			}
			a.stmt(c.Y)
		})
	}
}

// said returns what echo or printf prints, where all of it is written out.
func (a *analysis) said(s *syntax.Stmt) ([]string, bool) {
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) < 2 {
		return nil, false
	}
	name := a.values(call.Args[0])
	if len(name) != 1 || name[0].text != "echo" && name[0].text != "printf" {
		return nil, false
	}
	words, known := a.words(call.Args[1:])
	if !known {
		return nil, false
	}
	var out []string
	for _, w := range words {
		out = append(out, w.text)
	}
	text := strings.ReplaceAll(strings.Join(out, " "), `\n`, "\n")
	return []string{text}, true
}

// readsCommands reports whether a command is a shell that takes its commands from its input.
func (a *analysis) readsCommands(c *syntax.CallExpr) bool {
	if len(c.Args) == 0 {
		return false
	}
	name := a.values(c.Args[0])
	if len(name) != 1 || !name[0].known {
		return false
	}
	if b := base(name[0].text); b == "at" || b == "batch" {
		a.around("what " + b + " runs has no mark of an agent")
	}
	if !isShell(base(name[0].text)) {
		return false
	}
	for _, w := range c.Args[1:] {
		for _, v := range a.values(w) {
			if !strings.HasPrefix(v.text, "-") || strings.Contains(v.text, "c") {
				return false
			}
		}
	}
	return true
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "zsh", "dash", "ksh", "ash", "mksh", "rbash", "fish"}, name)
}

// iterates reads the variable of a loop.
func (a *analysis) iterates(it *syntax.WordIter) {
	b := binding{lasting: true}
	if len(it.Items) == 0 {
		a.binds(it.Name.Value, b)
	}
	for _, w := range it.Items {
		for _, v := range a.values(w) {
			b.value = v
			a.binds(it.Name.Value, b)
		}
	}
}

// document reads the commands that stand in a text, as in a here-document.
func (a *analysis) document(s string) {
	if a.texts >= maxText || len(s) > maxParse || nested(s) > maxNested {
		a.hidden("commands in texts in texts")
		return
	}
	a.texts++
	defer func() { a.texts-- }()
	if w, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Document(strings.NewReader(s)); err == nil {
		a.inside(w)
	}
}

// inside reads the commands that stand in words and arithmetic, and what those do to variables.
func (a *analysis) inside(n syntax.Node) {
	if n == nil {
		return
	}
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst:
			a.within(func() { a.stmts(n.Stmts) })
			return false
		case *syntax.ProcSubst:
			a.within(func() { a.stmts(n.Stmts) })
			return false
		case *syntax.SglQuoted:
			if strings.Contains(n.Value, "[$(") || strings.Contains(n.Value, "[`") {
				a.document(n.Value) // an index is evaluated where it comes to arithmetic
			}
		case *syntax.BinaryArithm, *syntax.UnaryArithm, *syntax.ParamExp:
			a.sets(n)
		}
		return true
	})
}

func (a *analysis) redirects(list []*syntax.Redirect) {
	for _, r := range list {
		if r.Word != nil {
			a.inside(r.Word)
		}
		if r.Hdoc != nil {
			a.inside(r.Hdoc)
		}
		if r.N != nil && strings.HasPrefix(r.N.Value, "{") {
			a.binds(strings.Trim(r.N.Value, "{}"), binding{lasting: true})
		}
		switch r.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrInOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll, syntax.DplOut, syntax.AppClob, syntax.RdrAllClob, syntax.AppAllClob:
			for _, v := range a.values(r.Word) {
				if r.Op == syntax.DplOut && (v.text == "-" || v.known && strings.Trim(v.text, "0123456789-") == "") {
					continue
				}
				a.writes(v, agent.Write{})
			}
		case syntax.RdrIn:
			for _, v := range a.values(r.Word) {
				a.reads(v)
			}
		}
	}
}

// at returns the paths that a word may be.
func (a *analysis) at(v value) ([]string, bool) {
	if !v.known {
		return nil, false
	}
	if strings.HasPrefix(v.text, "/") {
		return []string{v.text}, true
	}
	out := make([]string, 0, len(a.dirs))
	for _, d := range a.dirs {
		out = append(out, d+"/"+v.text)
	}
	return out, !a.lost
}

// devices take what is written and keep none of it. Not all below /dev is one: /dev/shm is a folder.
var devices = []string{"/dev/full", "/dev/null", "/dev/random", "/dev/stderr", "/dev/stdin", "/dev/stdout", "/dev/tty", "/dev/urandom", "/dev/zero"}

// device reports whether a path is that of a device, or of a file that is open already.
func device(p string) bool {
	fd, open := strings.CutPrefix(p, "/dev/fd/")
	return slices.Contains(devices, p) || open && fd != "" && strings.Trim(fd, "0123456789") == ""
}

// writes notes that a word is a path that is written.
func (a *analysis) writes(v value, w agent.Write) {
	if v.known && (v.text == "" || device(v.text)) {
		return
	}
	paths, certain := a.at(v)
	if !certain {
		a.hidden("which file is written")
	}
	for _, p := range paths {
		if len(a.out.Writes) >= maxItems {
			a.hidden("more files than are counted")
			return
		}
		w.Path, w.Glob = p, v.glob
		if v.glob {
			w.Path = strings.TrimSuffix(p, v.text) + v.pattern
		}
		a.out.Writes = append(a.out.Writes, w)
	}
}

func (a *analysis) reads(v value) {
	paths, _ := a.at(v)
	for _, p := range paths {
		if len(a.out.Reads) < maxItems {
			a.out.Reads = append(a.out.Reads, p)
		}
	}
}

// search looks in a command that hides something for the words by which the gate is gone around, as they stand and without
// quotes.
func (a *analysis) search(command string) {
	plain := strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(command)
	for _, text := range []string{strings.ToLower(command), strings.ToLower(plain)} {
		for _, word := range []string{"--no-verify", "core.hookspath", "refs/covenant", "git_config_", "update-ref", ".git/hooks", "covenant_identity", "commit-tree", "covenant.root"} {
			if strings.Contains(text, word) {
				a.around("it hides what it runs, and names " + word)
			}
		}
	}
	if !slices.ContainsFunc(a.out.Hidden, func(s string) bool { return s == hiddenDeep || s == hiddenLong || s == hiddenBash }) {
		return // it was read
	}
	separators := func(r rune) bool { return strings.ContainsRune(";&|(){}`\n", r) }
	for i, part := range strings.FieldsFunc(strings.ReplaceAll(plain, "\n", ";"), separators) {
		if i == maxItems || !strings.Contains(part, "git") {
			continue
		}
		words := strings.Fields(part)
		values := make([]value, 0, min(len(words), maxItems))
		for _, w := range words[:min(len(words), maxItems)] {
			values = append(values, literal(w))
		}
		a.gitWithin(values, true)
	}
}
