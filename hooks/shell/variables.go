package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// gateless are variables by which hooks are turned off, or Git is given another repository or configuration; GIT_CONFIG* are, too.
var gateless = []string{
	"GIT_COMMON_DIR", "GIT_DIR", "GIT_EXEC_PATH", "GIT_NAMESPACE", "GIT_NOTES_REF", "GIT_TEMPLATE_DIR",
}

// managers are variables by which managers of hooks leave hooks out: ours, where they start those.
var managers = []string{"HUSKY", "HUSKY_SKIP_HOOKS", "LEFTHOOK", "LEFTHOOK_EXCLUDE", "PRE_COMMIT_ALLOW_NO_CONFIG", "SKIP"}

// A binding is what happens to a variable.
type binding struct {
	value   value
	gone    bool // it has no value any more, or commands do not get it
	lasting bool // also what comes after the command has it
}

// binds reads that a variable gets a value, or loses it, however that is said.
func (a *analysis) binds(name string, b binding) {
	v := b.value
	a.steers(name, b)
	switch config := strings.HasPrefix(name, "GIT_CONFIG"); {
	case config, slices.Contains(gateless, name) && !b.gone:
		a.around("it sets " + name)
		if name == "GIT_DIR" {
			a.reads(v) // whose gate it goes around
		}
	case name == "COVENANT_IDENTITY":
		switch {
		case b.gone:
			a.around("it takes COVENANT_IDENTITY away")
		case !v.known:
			a.around("it chooses an identity that is not written out")
		default:
			a.out.As = append(a.out.As, v.text)
		}
	case name == "COVENANT_INTENT":
	case agent.IsMarker(name):
		if b.gone || !v.known || v.text == "" || v.text == "0" {
			a.around("it takes the mark " + name + " of an agent away")
		}
	case strings.HasPrefix(name, "COVENANT_"):
		a.around("it sets " + name)
	case name == "HOME", name == "XDG_CONFIG_HOME":
		if name == "HOME" && !b.gone && v.known && v.text == a.in.Home {
			return
		}
		a.moved = name
	case slices.Contains(managers, name) && !b.gone:
		a.skips = name
	case name == "GIT_WORK_TREE":
		a.reads(v)
		a.writes(v, agent.Write{Folder: true})
	case strings.HasPrefix(name, "GIT_TRACE") && !b.gone:
		if !v.known || strings.HasPrefix(v.text, "/") {
			a.writes(v, agent.Write{})
		}
	case name == "BASH_ENV", name == "ENV", strings.HasPrefix(name, "BASH_FUNC_"), strings.HasPrefix(name, "LD_"), strings.HasPrefix(name, "DYLD_"):
		if !b.gone {
			a.hidden("what " + name + " brings into programs")
		}
	case name == "CDPATH":
		a.cdpath = a.cdpath || !b.gone
	case slices.Contains([]string{"BROWSER", "EDITOR", "GIT_ASKPASS", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_SEQUENCE_EDITOR", "GIT_SSH", "GIT_SSH_COMMAND", "MANPAGER", "PAGER", "PROMPT_COMMAND", "RSYNC_CONNECT_PROG", "RSYNC_RSH", "SSH_ASKPASS", "SVN_SSH", "VISUAL"}, name):
		a.given(v, "what "+name+" runs")
	case name == "LESSOPEN", name == "LESSCLOSE":
		a.given(v.from(len(v.text)-len(strings.TrimLeft(v.text, "|-"))), "what "+name+" runs")
	}
}

// given reads a word that something runs as commands.
func (a *analysis) given(v value, what string) {
	if !v.known {
		a.hidden(what)
		return
	}
	a.text(v.text)
}

// named binds the variable that a word names, as NAME or NAME[…].
func (a *analysis) named(w value, b binding) {
	if name, _, _ := strings.Cut(w.text, "["); w.known {
		a.binds(name, b)
		return
	}
	a.hidden("which variable is set")
}

// assign reads the assignment of a variable: in front of a command, or lasting.
func (a *analysis) assign(s *syntax.Assign, lasting bool) {
	if s.Index != nil {
		a.inside(s.Index)
	}
	if s.Array != nil {
		a.inside(s.Array)
	}
	values := []value{{known: true}}
	if s.Value != nil {
		a.inside(s.Value)
		values = a.unsplit(s.Value)
	}
	if s.Name == nil || s.Naked && s.Value == nil {
		return
	}
	for _, v := range values {
		if s.Append || s.Array != nil || s.Index != nil {
			v.known = false
		}
		if n := names(v.text); n != "" {
			a.carried = n
		}
		if strings.Contains(v.text, "$(") || strings.Contains(v.text, "`") {
			a.document(v.text) // "${x@P}" and arithmetic run it
		}
		a.binds(s.Name.Value, binding{value: v, lasting: lasting})
	}
}

// declares reads declare, local, export and readonly, by their words.
func (a *analysis) declares(variant string, words []value) {
	var flags string
	off, print := false, false
	for _, w := range words {
		if !w.known && strings.Trim(w.text, "=") == "" {
			a.hidden("which variable is set")
			continue
		}
		if len(w.text) > 1 && (w.text[0] == '-' || w.text[0] == '+') {
			flags += w.text[1:]
			off = off || w.text[0] == '+' && strings.Contains(w.text, "x") || variant == "export" && strings.Contains(w.text, "n")
			print = print || strings.ContainsAny(w.text[1:], "pfF")
			continue
		}
		name, _, sets := strings.Cut(w.text, "=")
		appends := strings.HasSuffix(name, "+")
		name = strings.TrimSuffix(name, "+")
		name, _, indexed := strings.Cut(name, "[")
		b := binding{lasting: true}
		if sets {
			b.value = w.from(strings.Index(w.text, "=") + 1)
			b.value.known = w.known && !appends && !indexed
		}
		switch {
		case off:
			a.binds(name, binding{gone: true, lasting: true})
		case sets && variant != "export" && strings.Contains(flags, "n"): // another name for it
			b.value.known = w.known
			a.named(b.value, binding{lasting: true})
		case sets:
			a.binds(name, b)
		case print, variant == "export", variant == "readonly", strings.Contains(flags, "g"):
		default: // a variable of the same name, without a value, or one whose values become others
			a.binds(name, binding{gone: true, lasting: true})
		}
	}
}

// wholly are words of which nothing is taken for known where not all is: the name that one begins with may be longer.
func wholly(words []value) []value {
	out := slices.Clone(words)
	for i, v := range out {
		if !v.known {
			out[i] = value{}
		}
	}
	return out
}

// clause reads declare and its like where the parser knows them.
func (a *analysis) clause(c *syntax.DeclClause) {
	var words []value
	for _, s := range c.Args {
		if s.Name == nil || s.Naked {
			if s.Value != nil {
				a.inside(s.Value)
				words = append(words, wholly(a.values(s.Value))...)
			} else if s.Name != nil {
				words = append(words, literal(s.Name.Value))
			}
			continue
		}
		a.assign(s, true)
		for _, v := range a.unsplit(s.Value) {
			words = append(words, value{text: s.Name.Value + "=" + v.text, known: v.known && s.Index == nil && s.Array == nil && !s.Append, pattern: s.Name.Value + "=" + v.pattern})
		}
	}
	a.declares(c.Variant.Value, words)
}

// binders are the builtins that give variables values: how they read their options, and which of their words are names.
var binders = map[string]struct {
	grammar
	names string // options whose arguments are names
	first int    // the first operand that is one; -1: none
	runs  string // options whose arguments are commands
}{
	"getopts":   {grammar{early: true}, "", 1, ""},
	"mapfile":   {grammar{takes: "dnOsucC", early: true}, "", 0, "C"},
	"printf":    {grammar{takes: "v", early: true}, "v", -1, ""},
	"read":      {grammar{takes: "adinNptu", early: true}, "a", 0, ""},
	"readarray": {grammar{takes: "dnOsucC", early: true}, "", 0, "C"},
	"wait":      {grammar{takes: "p", early: true}, "p", -1, ""},
}

// builtin reads the builtins of a shell that change variables; false for any other command.
func (a *analysis) builtin(name string, args []value) bool {
	switch name {
	case "declare", "export", "local", "readonly", "typeset":
		a.declares(name, wholly(args))
		return true
	case "unset":
		options, names := grammar{early: true}.read(args)
		for _, v := range names {
			if !v.known {
				a.around("it takes variables away that are not written out")
			}
			if !given(options, "f") {
				a.named(v, binding{gone: true, lasting: true})
			}
		}
		return true
	case "let":
		for _, v := range args {
			a.arithmetic(v)
		}
		return true
	}
	b, ok := binders[name]
	if !ok {
		return false
	}
	options, operands := b.read(args)
	set, _ := has(options, b.names)
	if b.first >= 0 && b.first < len(operands) {
		rest := operands[b.first:]
		if name != "read" {
			rest = rest[:1]
		}
		set = append(set, rest...)
	}
	for _, v := range set {
		a.named(v, binding{lasting: true})
	}
	run, _ := has(options, b.runs)
	for _, v := range run {
		a.given(v, "what "+name+" runs")
	}
	return true
}

// arithmetic reads a word that is evaluated as a number.
func (a *analysis) arithmetic(v value) {
	if !v.known {
		a.hidden("which variable is set")
		return
	}
	if x, err := syntax.NewParser().Arithmetic(strings.NewReader(v.text)); err == nil && nested(v.text) <= maxNested {
		a.inside(x)
	}
}

// sets reads what expressions and expansions do to variables.
func (a *analysis) sets(n syntax.Node) {
	name := ""
	switch n := n.(type) {
	case *syntax.BinaryArithm:
		switch n.Op {
		case syntax.Assgn, syntax.AddAssgn, syntax.SubAssgn, syntax.MulAssgn, syntax.QuoAssgn, syntax.RemAssgn, syntax.AndAssgn, syntax.OrAssgn, syntax.XorAssgn, syntax.ShlAssgn, syntax.ShrAssgn:
			name = arithmName(n.X)
		}
	case *syntax.UnaryArithm:
		if n.Op == syntax.Inc || n.Op == syntax.Dec {
			name = arithmName(n.X)
		}
	case *syntax.ParamExp:
		if n.Exp == nil || n.Param == nil {
			return
		}
		switch n.Exp.Op {
		case syntax.AssignUnset, syntax.AssignUnsetOrNull:
			for _, v := range a.values(n.Exp.Word) {
				if n.Excl {
					a.named(value{}, binding{})
					continue
				}
				a.binds(n.Param.Value, binding{value: v, lasting: true})
			}
		}
	}
	if name != "" {
		a.binds(name, binding{lasting: true})
	}
}

// arithmName returns the variable that an expression is.
func arithmName(x syntax.ArithmExpr) string {
	w, ok := x.(*syntax.Word)
	if !ok || len(w.Parts) != 1 {
		return ""
	}
	switch p := w.Parts[0].(type) {
	case *syntax.Lit:
		return p.Value
	case *syntax.ParamExp:
		if p.Short && p.Param != nil && !p.Dollar.IsValid() {
			return p.Param.Value
		}
	}
	return ""
}

// environment reads env(1).
func (a *analysis) environment(args []value, redirs []*syntax.Redirect) {
	a.within(func() {
		options, rest := grammar{takes: "aCSu", longs: "argv0= block-signal chdir= debug default-signal ignore-environment ignore-signal list-signal-handling null split-string= unset=", early: true}.read(args)
		if given(options, "i ignore-environment") || len(rest) > 0 && rest[0].text == "-" {
			a.around("it takes the marks of an agent away with env -i")
			rest = slices.DeleteFunc(slices.Clone(rest), func(v value) bool { return v.text == "-" })
		}
		gone, _ := has(options, "u unset")
		for _, v := range gone {
			a.named(v, binding{gone: true})
		}
		to, _ := has(options, "C chdir")
		for _, v := range to {
			a.cd([]value{v})
		}
		texts, split := has(options, "S split-string")
		for _, v := range texts {
			if !v.known {
				a.hidden("what env runs")
				continue
			}
			words := make([]string, 0, len(rest))
			for _, w := range rest {
				words = append(words, quote(w))
			}
			a.text("env " + v.text + " " + strings.Join(words, " "))
		}
		if split {
			return
		}
		for i, v := range rest {
			name, _, sets := strings.Cut(v.text, "=")
			switch {
			case sets:
				if !v.known && strings.HasSuffix("COVENANT_IDENTITY", name) { // it may be the end of that
					a.hidden("which variable is set")
				}
				a.binds(name, binding{value: v.from(len(name) + 1)})
			case !v.known:
				a.hidden("what env runs")
				a.gitWithin(rest[i+1:], true)
				return
			default:
				a.run(rest[i:], redirs)
				return
			}
		}
	})
}

// quote writes a word as a shell reads it; one that is not known stays so.
func quote(v value) string {
	if !v.known {
		return `"$_"`
	}
	return "'" + strings.ReplaceAll(v.text, "'", `'\''`) + "'"
}

// binds reports whether a builtin gives values to variables that its words name.
func binds(name string) bool {
	_, ok := binders[name]
	return ok || slices.Contains([]string{"declare", "export", "local", "readonly", "typeset"}, name)
}
