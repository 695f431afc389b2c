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
	maxPrints = 3         // substitutions in substitutions whose text is told
	maxRests  = 8         // parts of a text that has more
	maxBraces = 32        // of one word
	maxParts  = 256       // of one word
	maxLong   = 256 << 10 // bytes of all values that one word may have
	maxText   = 8         // of texts that are commands within texts that are
	maxSays   = 64        // values that one word may have, directories that a command may be in
	maxPath   = 4096      // bytes of the name of a directory: no system takes more
	maxLists  = 8         // values that $@ may have
	maxItems  = 4096      // writes, reads
	maxLooks  = 1 << 16   // places at which what is named may be, over all
)

// Why a text is not read at all.
const (
	hiddenDeep = "commands nested too deep"
	hiddenLong = "a command of more than 128 KiB"
	hiddenBash = "it is not in the language of bash"
)

// Effects tells what a command would do.
func Effects(command string, in Surroundings) agent.Effects {
	a := &analysis{in: in, vars: map[string][]string{}, functions: map[string][]*syntax.Stmt{}, aliases: map[string][]string{}, running: map[string]int{}, substs: map[*syntax.ProcSubst]value{}, files: map[string][]value{}, taken: map[agent.Named]bool{}, arrays: map[string][][]value{}, made: map[string]bool{}}
	a.dirs = []string{path.Clean(in.Dir)}
	if in.Dir == "" {
		a.dirs, a.lost = nil, true
	}
	a.text(command)
	a.trapped()
	if a.moved != "" && (a.acts || len(a.out.Hidden) > 0 || a.calls == 0) {
		a.around("it moves " + a.moved + ", where settings and keys are")
	}
	if a.skips != "" && (a.acts || len(a.out.Hidden) > 0) {
		a.around("it sets " + a.skips + ", by which a manager of hooks leaves out those that it starts, ours among them")
	}
	if a.searched {
		a.look(command)
	}
	if a.carried != "" && len(a.out.Hidden) > 0 {
		a.around("it hides what it runs, and a variable names " + a.carried)
	}
	for _, list := range []*[]string{&a.out.Around, &a.out.Hidden, &a.out.As, &a.out.Hosts, &a.out.Online} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return a.out
}

type analysis struct {
	in  Surroundings
	out agent.Effects
	place
	seen       []string // directories that it left
	cdpath     bool     // relative names of directories may be found elsewhere
	links      []link
	functions  map[string][]*syntax.Stmt
	aliases    map[string][]string
	running    map[string]int // functions and aliases that are read
	substs     map[*syntax.ProcSubst]value
	positional [][]value // $1 and so on: any of these
	zero       []value   // $0, where it is given
	traps      []string
	strayed    bool // it was somewhere that is not known
	calls      int
	input      *input               // what comes through a pipe
	files      map[string][]value   // what it wrote
	taken      map[agent.Named]bool // what it names and reads
	looks      int                  // how many places those may be at
	feeds      bool                 // what is printed may be names that something else opens
	searched   bool                 // something is hidden that may be meant by any part of the text
	carried    string               // what is guarded and the value of a variable names
	vars       map[string][]string  // what variables may hold; nil: anything
	arrays     map[string][][]value // what arrays may hold; nil: anything
	still      bool                 // values of variables are not split
	depth      int
	prints     int // substitutions whose text is told
	texts      int
	made       map[string]bool // folders
	skips      string          // a variable by which a manager of hooks starts none
	search     search          // what find finds
	moved      string          // a variable by which a command finds settings elsewhere
	acts       bool            // something of Git's or of ours runs that does not only read
}

func (a *analysis) around(phrase string) {
	if len(a.out.Around) < maxItems {
		a.out.Around = append(a.out.Around, phrase)
	}
}

func (a *analysis) hidden(phrase string) {
	a.searched = true
	a.opaque(phrase)
}

// opaque is hidden where all that may be meant by it was looked at.
func (a *analysis) opaque(phrase string) {
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
	a.texts++
	defer func() { a.texts-- }()
	for range maxRests {
		end := shallow(s)
		switch {
		case len(s) > maxParse:
			a.hidden(hiddenLong)
		case end < len(s):
			a.hidden(hiddenDeep)
		}
		a.parsed(s[:min(end, maxParse)]) // what stands before that is read all the same
		rest := strings.IndexByte(s[end:], '\n')
		if len(s) > maxParse || rest < 0 {
			return
		}
		s = s[end+rest+1:]
	}
	a.hidden(hiddenDeep)
}

// parsed reads a text as commands that is neither too long nor too deep.
func (a *analysis) parsed(s string) {
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

// shallow is how much of a text has no more brackets open at once than are read.
func shallow(s string) int {
	depth := 0
	for i, c := range []byte(s) {
		switch c {
		case '(', '{':
			if depth++; depth > maxNested {
				return i
			}
		case ')', '}':
			depth = max(0, depth-1)
		}
	}
	return len(s)
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
			if n.Array != nil || n.Index != nil {
				a.array(n)
				break
			}
			if n.Append {
				set(n.Name.Value, nil, false)
				break
			}
			values, known := []string{""}, true
			if n.Value != nil {
				values, known = texts(a.unsplit(n.Value))
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
		case *syntax.FuncDecl:
			if n.Name != nil && !slices.Contains(a.functions[n.Name.Value], n.Body) {
				a.functions[n.Name.Value] = append(a.functions[n.Name.Value], n.Body)
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
