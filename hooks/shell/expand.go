package shell

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// fields are the words that a word becomes where a variable or an array in it is several: one list for each way that it may go. nil: it is one word.
func (a *analysis) fields(w *syntax.Word) [][]value {
	if !slices.ContainsFunc(w.Parts, a.splits) {
		return nil
	}
	out := [][]value{{{known: true}}}
	for _, p := range w.Parts {
		var ways [][]value
		if lists := a.several(p); lists != nil {
			ways = lists
		} else {
			for _, v := range a.part(p, true) {
				ways = append(ways, []value{v})
			}
		}
		if len(out)*len(ways) > maxSays {
			return nil
		}
		next := make([][]value, 0, len(out)*len(ways))
		for _, left := range out {
			for _, right := range ways {
				if len(right) == 0 {
					next = append(next, left)
					continue
				}
				list := slices.Clone(left)
				list[len(list)-1] = cross(list[len(list)-1:], right[:1])[0]
				next = append(next, append(list, right[1:]...))
			}
		}
		out = next
	}
	for i := range out {
		out[i] = slices.DeleteFunc(out[i], func(v value) bool { return v.known && v.text == "" })
	}
	return out
}

// splits reports whether a part of a word may be several words.
func (a *analysis) splits(p syntax.WordPart) bool { return a.several(p) != nil }

// several are the words that a part of a word is, for each way that it may go: the elements of an array, or a value of a variable where it is split. nil: it is one.
func (a *analysis) several(p syntax.WordPart) [][]value {
	quoted := false
	if q, ok := p.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		p, quoted = q.Parts[0], true
	}
	x, ok := p.(*syntax.ParamExp)
	if !ok || x.Param == nil || x.Excl || x.Length || x.Repl != nil || x.Exp != nil {
		return nil
	}
	if elements(x) {
		if quoted && indexOf(x) == "*" {
			return nil
		}
		lists := a.arrays[x.Param.Value]
		if x.Slice != nil {
			var tails [][]value
			for _, list := range lists {
				for i := range list {
					tails = append(tails, list[i:])
				}
			}
			lists = tails
		}
		return lists
	}
	values := a.vars[x.Param.Value]
	if _, set := a.vars["IFS"]; x.Param.Value == "IFS" && !set {
		values = []string{" \t\n"}
	}
	if quoted || x.Index != nil || x.Slice != nil || len(values) == 0 {
		return nil
	}
	separators := []string{" \t\n"}
	if ifs, set := a.vars["IFS"]; set {
		if separators = append(separators, ifs...); len(ifs) == 0 {
			return nil // it may be split anywhere
		}
	}
	var out [][]value
	apart := false
	for _, s := range values {
		for _, sep := range separators {
			words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(sep, r) })
			if trimmed := strings.TrimLeft(s, sep); trimmed != s { // what stands before it ends there
				words = slices.Insert(words, 0, "")
			}
			if trimmed := strings.TrimRight(s, sep); trimmed != s {
				words = append(words, "")
			}
			list := make([]value, 0, len(words))
			for _, word := range words {
				v := literal(word)
				if strings.ContainsAny(word, "*?[") {
					v.glob, v.pattern = true, word
				}
				list = append(list, v)
			}
			apart = apart || len(list) != 1 || list[0].text != s || list[0].glob
			out = append(out, list)
		}
	}
	if !apart || len(out) > maxSays {
		return nil
	}
	return out
}

// elements reports whether an expansion is of all elements of an array.
func elements(p *syntax.ParamExp) bool { return indexOf(p) == "@" || indexOf(p) == "*" }

func indexOf(p *syntax.ParamExp) string {
	if w, ok := p.Index.(*syntax.Word); ok {
		return w.Lit()
	}
	return ""
}

// array notes a value that an array gets.
func (a *analysis) array(s *syntax.Assign) {
	name := s.Name.Value
	old, there := a.arrays[name]
	switch {
	case there && old == nil || len(old) >= maxLists:
		a.arrays[name] = nil
	case s.Array != nil:
		var list []value
		for _, e := range s.Array.Elems {
			if e.Value != nil {
				list = append(list, a.values(e.Value)...)
			}
		}
		if len(list) > maxSays {
			a.arrays[name] = nil
			return
		}
		if s.Append {
			for _, before := range old {
				if len(before)+len(list) > maxSays {
					a.arrays[name] = nil
					return
				}
				old = append(old, slices.Concat(before, list))
			}
		}
		if a.arrays[name] = append(old, list); len(a.arrays[name]) > maxLists {
			a.arrays[name] = nil
		}
	case s.Index != nil && s.Value != nil:
		w, is := s.Index.(*syntax.Word)
		n, err := 0, error(nil)
		if is {
			n, err = strconv.Atoi(w.Lit())
		}
		if !is || err != nil || n < 0 || n >= maxSays {
			a.arrays[name] = nil
			return
		}
		if len(old) == 0 {
			old = [][]value{nil}
		}
		for i, list := range old {
			for len(list) <= n {
				list = append(list, literal(""))
			}
			v := a.unsplit(s.Value)
			list = slices.Clone(list)
			list[n] = v[0]
			old[i] = list
		}
		a.arrays[name] = old
	}
}

// edited returns what an expansion such as ${x:-y} or ${x%y} may be; false for one that is not read.
func (a *analysis) edited(p *syntax.ParamExp) ([]value, bool) {
	plain := *p
	plain.Exp = nil
	held := a.param(&plain, false)
	var arg []value
	if p.Exp.Word != nil {
		arg = a.unsplit(p.Exp.Word)
	} else {
		arg = []value{literal("")}
	}
	switch p.Exp.Op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
		return chosen(append(held, arg...)), true
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		return chosen(append([]value{literal("")}, arg...)), true
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return held, true
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		if len(arg) != 1 || !arg[0].known || arg[0].glob {
			return nil, false
		}
		out := make([]value, 0, len(held))
		for _, v := range held {
			if !v.known {
				return nil, false
			}
			text := strings.TrimSuffix(v.text, arg[0].text)
			if p.Exp.Op == syntax.RemSmallPrefix || p.Exp.Op == syntax.RemLargePrefix {
				text = strings.TrimPrefix(v.text, arg[0].text)
			}
			out = append(out, literal(text))
		}
		return chosen(out), true
	}
	return nil, false
}

// tilde returns what a word that begins with ~ may be.
func (a *analysis) tilde(v value) []value {
	head, rest, below := strings.Cut(v.text, "/")
	if below {
		rest = "/" + rest
	}
	var dirs []string
	switch user := head[1:]; {
	case user == "" || a.in.Home != "" && user == path.Base(a.in.Home):
		dirs = []string{a.in.Home}
	case user == "+":
		dirs = a.dirs
	case user == "-":
		dirs = a.olds()
		a.opaque("a directory that it was in before")
	}
	if len(dirs) == 0 || dirs[0] == "" || !v.known {
		v.known = false
		return []value{v}
	}
	out := make([]value, 0, len(dirs))
	for _, d := range dirs {
		w := v
		w.text, w.pattern = d+rest, escapeGlob(d)+strings.TrimPrefix(v.pattern, escapeGlob(head))
		out = append(out, w)
	}
	return chosen(out)
}

// olds are the directories that $OLDPWD may name: those that the command was in, as far as they are known.
func (a *analysis) olds() []string {
	out := slices.Concat(a.seen, a.dirs, []string{path.Clean(a.in.Dir)})
	slices.Sort(out)
	return slices.Compact(out)
}

// scratch is a folder of which only that it is in no work tree is known.
const scratch = "/tmp"

// plainly is what a substitution prints where it does nothing but print words that are written out: one text, without line breaks at its end.
func (a *analysis) plainly(c *syntax.CmdSubst, unquoted bool) (value, bool) {
	if len(c.Stmts) != 1 || a.prints >= maxPrints {
		return value{}, false
	}
	a.prints++
	defer func() { a.prints-- }()
	sure := true
	syntax.Walk(c.Stmts[0], func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			return false // of a word
		case *syntax.ParamExp:
			sure = sure && !a.still // its values may not be all that it gets
		case *syntax.Redirect:
			sure = sure && (n.Op == syntax.Hdoc || n.Op == syntax.DashHdoc || n.Op == syntax.WordHdoc)
		case *syntax.CallExpr:
			for _, w := range n.Args {
				if v := a.values(w); len(v) != 1 || !v[0].known || v[0].glob || strings.Contains(v[0].text, `\`) || a.functions[v[0].text] != nil || a.aliases[v[0].text] != nil {
					sure = false
					break
				}
			}
		}
		return sure
	})
	if !sure {
		return value{}, false
	}
	in := a.said(c.Stmts[0])
	if !in.known() || len(in.texts) != 1 {
		return value{}, false
	}
	text := strings.TrimRight(in.texts[0].text, "\n")
	if _, split := a.vars["IFS"]; unquoted && !a.still && (split || strings.ContainsAny(text, " \t\n*?[")) { // it is split, or stands for other names
		return value{}, false
	}
	return literal(text), true
}

// printed returns what a substitution is, where that is known: what it is given to print, a new scratch place, or where the shell is.
func (a *analysis) printed(c *syntax.CmdSubst, unquoted bool) []value {
	if v, ok := a.plainly(c, unquoted); ok {
		return []value{v}
	}
	if len(c.Stmts) != 1 || len(c.Stmts[0].Redirs) > 0 {
		return []value{{}}
	}
	call, ok := c.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok || len(call.Assigns) > 0 || len(call.Args) > 4 {
		return []value{{}}
	}
	words := make([]string, 0, len(call.Args))
	for _, w := range call.Args {
		words = append(words, w.Lit())
	}
	switch _, moved := a.vars["TMPDIR"]; {
	case len(words) == 0 || a.functions[words[0]] != nil:
	case words[0] == "mktemp" && !moved && !slices.ContainsFunc(words[1:], func(s string) bool {
		return s != "-d" && s != "-q" && s != "-qd" && s != "-dq" && !strings.HasPrefix(path.Clean(s), scratch+"/")
	}):
		return []value{literal(scratch + "/mktemp")}
	case !a.still && !a.lost && len(words) > 2 && words[0] == "git" && words[1] == "rev-parse" && slices.Contains([]string{"--absolute-git-dir", "--git-common-dir", "--git-dir", "--git-path"}, words[2]):
		a.opaque("where Git's own is")
		below := "/.git"
		if words[2] == "--git-path" && len(words) > 3 {
			below += "/" + words[3]
		}
		out := slices.Clone(a.dirs)
		for i := range out {
			out[i] += below
		}
		return literals(out)
	case !a.still && !a.lost && (slices.Equal(words, []string{"pwd"}) || slices.Equal(words, []string{"git", "rev-parse", "--show-toplevel"})):
		if len(words) > 1 {
			a.opaque("where the work tree begins")
		}
		return literals(a.dirs)
	}
	return []value{{}}
}
