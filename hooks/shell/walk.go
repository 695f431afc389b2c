package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A place is where a command may run: in one of the directories, or, where lost says so, anywhere; where away says so in none of them, as far as is known.
type place struct {
	dirs []string
	lost bool
	away bool
}

func (p place) or(q place) place {
	out := place{slices.Clone(p.dirs), p.lost || q.lost, p.away && q.away}
	switch {
	case len(p.dirs) == 0 && !p.lost: // nothing runs there
		out.away = q.away
	case len(q.dirs) == 0 && !q.lost:
		out.away = p.away
	}
	for _, d := range q.dirs {
		if !slices.Contains(out.dirs, d) {
			out.dirs = append(out.dirs, d)
		}
	}
	if len(out.dirs) > maxSays {
		out.dirs, out.lost = out.dirs[:maxSays], true
	}
	return out
}

// within runs f where a change of directory is not seen outside.
func (a *analysis) within(f func()) {
	before, words := a.place, a.positional
	f()
	a.place, a.positional = before, words
}

// perhaps runs f where it is not certain that it happens.
func (a *analysis) perhaps(f func()) {
	before := a.place
	f()
	a.place = a.or(before)
}

// loops runs f where it may happen any number of times: where it moves on each time, it may be anywhere in the end.
func (a *analysis) loops(f func()) {
	before := a.place
	f()
	if after := a.or(before); !before.lost && (after.lost || len(after.dirs) > len(before.dirs)) {
		a.place = after
		a.lost = true
		f()
		a.place = a.or(after)
	}
	a.place = a.or(before)
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

func (a *analysis) stmt(s *syntax.Stmt) {
	ok, failed := a.outcome(s)
	a.place = ok.or(failed)
}

// outcome reads a statement, and returns where the shell is if it succeeded, and if it failed: a cd that fails stays where it was.
func (a *analysis) outcome(s *syntax.Stmt) (ok, failed place) {
	before := a.place
	if s == nil {
		return before, before
	}
	if a.depth >= maxDepth {
		a.hidden(hiddenDeep)
		return before, before
	}
	a.depth++
	defer func() { a.depth-- }()
	a.redirects(s.Redirs)
	defer a.keeps(s)
	b, binary := s.Cmd.(*syntax.BinaryCmd)
	switch {
	case s.Background:
		a.within(func() { a.command(s.Cmd, s.Redirs) })
		return before, before
	case binary && b.Op == syntax.AndStmt:
		okX, failedX := a.outcome(b.X)
		a.place = okX
		okY, failedY := a.outcome(b.Y)
		ok, failed = okY, failedX.or(failedY)
	case binary && b.Op == syntax.OrStmt:
		okX, failedX := a.outcome(b.X)
		a.place = failedX
		okY, failedY := a.outcome(b.Y)
		ok, failed = okX.or(okY), failedY
	default:
		a.command(s.Cmd, s.Redirs)
		ok, failed = a.place, a.or(before)
		if a.ends(s.Cmd) {
			ok, failed = place{}, place{}
		}
	}
	if s.Negated {
		ok, failed = failed, ok
	}
	return ok, failed
}

// ends reports whether nothing happens in this shell after a command.
func (a *analysis) ends(c syntax.Command) bool {
	call, ok := c.(*syntax.CallExpr)
	return ok && len(call.Args) > 0 && len(call.Args) < 3 && call.Args[0].Lit() == "exit" && a.functions["exit"] == nil
}

// condition reads statements, and returns where the shell is if the last of them succeeded, and if it failed.
func (a *analysis) condition(list []*syntax.Stmt) (ok, failed place) {
	if len(list) == 0 {
		return a.place, a.place
	}
	a.stmts(list[:len(list)-1])
	return a.outcome(list[len(list)-1])
}

func (a *analysis) command(c syntax.Command, redirs []*syntax.Redirect) {
	switch c := c.(type) {
	case nil:
	case *syntax.CallExpr:
		a.call(c, redirs)
	case *syntax.BinaryCmd:
		a.pipe(c)
	case *syntax.Subshell:
		a.within(func() { a.stmts(c.Stmts) })
	case *syntax.Block:
		a.stmts(c.Stmts)
	case *syntax.IfClause:
		var end place
		for n := c; n != nil; n = n.Else {
			ok, failed := a.condition(n.Cond)
			a.place = ok
			a.stmts(n.Then)
			end = end.or(a.place)
			a.place = failed
			if n.Else == nil && len(n.Cond) == 0 { // the last else
				a.place = end
			}
		}
		a.place = a.or(end)
	case *syntax.WhileClause:
		a.loops(func() {
			ok, failed := a.condition(c.Cond)
			if c.Until {
				ok, failed = failed, ok
			}
			a.place = ok
			a.stmts(c.Do)
			a.place = a.or(failed)
		})
	case *syntax.ForClause:
		if it, ok := c.Loop.(*syntax.WordIter); ok {
			a.iterates(it)
		}
		a.inside(c.Loop)
		a.loops(func() { a.stmts(c.Do) })
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

// invoke reads a call of a function or an alias that the command itself defines, with the arguments that it is given.
func (a *analysis) invoke(name string, args []value) {
	if a.running[name] > 1 {
		return // it was read with what it gives itself
	}
	a.running[name]++
	defer func() { a.running[name]-- }()
	for _, body := range a.functions[name] {
		a.with(args, func() { a.perhaps(func() { a.stmt(body) }) })
	}
	for _, text := range a.aliases[name] {
		words := []string{text}
		for _, v := range args {
			words = append(words, quote(v))
		}
		a.perhaps(func() { a.text(strings.Join(words, " ")) })
	}
}

// with runs f where $1, $2 and so on are these words.
func (a *analysis) with(args []value, f func()) {
	before := a.positional
	a.positional = [][]value{args}
	f()
	a.positional = before
}

// perhapsGiven notes that $1, $2 and so on may be these words from now on.
func (a *analysis) perhapsGiven(args []value) {
	if len(a.positional) >= maxLists {
		a.hidden("what $1 is")
		return
	}
	a.positional = append(a.positional[:len(a.positional):len(a.positional)], args)
}

// trapped reads traps again: they run wherever the shell is then.
func (a *analysis) trapped() {
	for i := 0; i < len(a.traps); i++ {
		a.place = a.or(place{a.seen, a.strayed, false})
		a.given(literal(a.traps[i]), "what a trap runs")
	}
}

// iterates reads the variable of a loop.
func (a *analysis) iterates(it *syntax.WordIter) {
	b := binding{lasting: true}
	if len(it.Items) == 0 {
		a.binds(it.Name.Value, b)
	}
	for _, w := range it.Items {
		for _, v := range a.values(w) {
			if b.value = v; v.glob {
				a.wholes([]value{v}) // what the loop does with each is not told
			}
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
			a.feeding(func() { a.within(func() { a.stmts(n.Stmts) }) })
			return false
		case *syntax.ProcSubst:
			a.feeding(func() { a.within(func() { a.stmts(n.Stmts) }) })
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
