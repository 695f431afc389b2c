package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// A search is what find(1) does something to: files whose names one of the patterns matches, all where there is none; spared: but for Git's own.
type search struct {
	names  []string
	spared bool
	top    bool // spared only where it begins at "."
}

// find reads find(1): what it runs for each file, and what it deletes.
func (a *analysis) find(name string, args []value, redirs []*syntax.Redirect) {
	before := a.search
	defer func() { a.search = before }()
	var starts []value
	i := 0
	for ; i < len(args); i++ {
		if v := args[i]; strings.HasPrefix(v.text, "-") || v.text == "(" || v.text == "!" {
			if v.text == "-L" || v.text == "-H" || v.text == "-P" {
				continue
			}
			break
		}
		starts = append(starts, args[i])
	}
	if len(starts) == 0 {
		starts = []value{literal(".")}
	}
	for i := range starts {
		starts[i].found = true
	}
	if slices.ContainsFunc(args, func(v value) bool { return v.text == "-L" || v.text == "-follow" || v.text == "--follow" }) {
		a.hidden("where the links that find follows lead")
	}
	if name == "find" {
		a.search = expression(args[i:])
	} else {
		options, _ := grammar{takes: "EedSotxX", longs: "hidden no-ignore unrestricted"}.read(args)
		a.search = search{spared: !given(options, "H u hidden unrestricted")}
	}
	for i, v := range args {
		switch v.text {
		case "-delete":
			for _, s := range starts {
				a.writes(s, agent.Write{Gone: true})
			}
		case "-fprint", "-fprint0", "-fls", "-fprintf":
			if i+1 < len(args) {
				a.writes(args[i+1], agent.Write{})
			}
		case "-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch":
			tail := forEach(args[i+1:], starts)
			if name != "find" && !slices.ContainsFunc(args[i+1:], func(v value) bool { return strings.Contains(v.text, "{") }) {
				tail = append(tail, starts...)
			}
			if !slices.ContainsFunc(tail[:min(1, len(tail))], func(v value) bool { return slices.Contains(listers, base(v.text)) }) {
				a.wholes(starts)
				for _, name := range a.search.names {
					v := literal(name)
					v.glob, v.pattern = strings.ContainsAny(name, "*?["), name
					a.names(v, false)
				}
			}
			a.within(func() {
				a.lost = a.lost || strings.HasSuffix(v.text, "dir") // it works in any folder below
				a.run(tail, redirs)
			})
		}
	}
}

// forEach is the command that is run for what is found, up to its end.
func forEach(args, starts []value) []value {
	var tail []value
	for _, w := range args {
		if w.text == ";" || w.text == "+" {
			break
		}
		if strings.Contains(w.text, "{}") {
			tail = append(tail, starts...)
			continue
		}
		tail = append(tail, w)
	}
	return tail
}

// takesNone are the tests and actions of find that no word follows; of all others one does.
var takesNone = strings.Fields("! ( ) , -a -and -daystart -delete -depth -empty -executable -false -follow -ignore_readdir_race -ls -mount -noleaf -nogroup -not -nouser -o -or -print -print0 -prune -quit -readable -true -warn -nowarn -writable -xdev")

// A clause is a part of an expression of find.
type clause struct {
	test, arg value
	not       bool
	inner     [][]clause // of one in brackets: alternatives
}

// clauses reads an expression: alternatives, each of what is true together. rest is what follows its bracket.
func clauses(args []value, depth int) (out [][]clause, rest []value) {
	var all []clause
	not := false
	for len(args) > 0 {
		v := args[0]
		args = args[1:]
		c := clause{test: v, not: not}
		switch v.text {
		case "!", "-not":
			not = !not
			continue
		case "-a", "-and":
			continue
		case "-o", "-or", ",":
			out, all, not = append(out, all), nil, false
			continue
		case ")":
			return append(out, all), args
		case "(":
			if depth > 16 {
				return [][]clause{nil}, nil
			}
			c.inner, args = clauses(args, depth+1)
		case "-exec", "-execdir", "-ok", "-okdir":
			for len(args) > 0 && args[0].text != ";" && args[0].text != "+" {
				args = args[1:]
			}
			args = args[min(1, len(args)):]
		default:
			if !slices.Contains(takesNone, v.text) && len(args) > 0 {
				c.arg, args = args[0], args[1:]
			}
		}
		all, not = append(all, c), false
	}
	return append(out, all), nil
}

// expression reads which files the actions of an expression are done to.
func expression(args []value) search {
	alternatives, _ := clauses(args, 0)
	var s search
	spared, pruned, restricted := true, false, true
	for _, all := range alternatives {
		first := slices.IndexFunc(all, acting)
		if first < 0 {
			pruned = pruned || prunes(all)
			continue
		}
		all = all[:first] // what is asked later restricts nothing, and what is within brackets is not looked at
		names, some := namesOf([][]clause{all})
		restricted = restricted && some
		s.names = append(s.names, names...)
		spared = spared && (pruned || slices.ContainsFunc(all, func(c clause) bool {
			return c.not && (c.test.text == "-path" || c.test.text == "-wholename") && gitPath(c.arg) || c.not && prunes(slices.Concat(c.inner...))
		}))
	}
	if !restricted {
		s.names = nil
	}
	s.spared = spared
	s.top = slices.ContainsFunc(args, func(v value) bool { return strings.HasPrefix(v.text, "./.git") })
	return s
}

func acting(c clause) bool {
	return slices.Contains([]string{"-delete", "-exec", "-execdir", "-ok", "-okdir"}, c.test.text) || slices.ContainsFunc(slices.Concat(c.inner...), acting)
}

// prunes reports whether Git's own is left out by what is true together.
func prunes(all []clause) bool {
	git, prune := false, false
	for _, c := range all {
		switch {
		case c.inner != nil:
			if len(c.inner) == 1 && !c.not && prunes(c.inner[0]) {
				return true
			}
			if c.not || !slices.ContainsFunc(c.inner, func(all []clause) bool { return len(all) == 1 && all[0].ofGit() }) {
				return false
			}
			git = true
		case c.not:
			return false
		case c.test.text == "-prune":
			prune = true
		case c.ofGit():
			git = true
		case c.test.text == "-type" && c.arg.text == "d":
		default:
			return false
		}
	}
	return git && prune
}

// ofGit reports whether a test is true of the git directory.
func (c clause) ofGit() bool {
	return !c.not && (c.test.text == "-name" && c.arg.known && c.arg.text == ".git" || (c.test.text == "-path" || c.test.text == "-wholename") && gitPath(c.arg) && !strings.HasSuffix(c.arg.text, "/*"))
}

// gitPath reports whether a pattern of paths is of the git directory, at the beginning or anywhere.
func gitPath(v value) bool {
	return v.known && slices.Contains([]string{"./.git", "./.git*", "./.git/*", "*/.git", "*/.git*", "*/.git/*", "*.git*"}, v.text)
}

// namesOf are the patterns of names that all that alternatives find have; false where one finds files of any name.
func namesOf(alternatives [][]clause) (names []string, restricted bool) {
	for _, all := range alternatives {
		found := false
		for _, c := range all {
			if c.not || found {
				continue
			}
			if c.inner != nil {
				if more, some := namesOf(c.inner); some {
					names, found = append(names, more...), true
				}
			} else if (c.test.text == "-name" || c.test.text == "-iname") && c.arg.known && c.arg.text != "" {
				if _, err := path.Match(c.arg.text, ""); err == nil {
					names, found = append(names, c.arg.text), true
				}
			}
		}
		if !found {
			return nil, false
		}
	}
	return names, len(alternatives) > 0
}

// onlyReads reports whether a program writes nothing, whatever files it is given.
func (a *analysis) onlyReads(words []value) bool {
	if _, known := programs[base(words[0].text)]; !known || !words[0].known {
		return false
	}
	b := &analysis{in: a.in, place: a.place, vars: a.vars, functions: a.functions, aliases: a.aliases, running: map[string]int{}, substs: a.substs, files: a.files, taken: map[agent.Named]bool{}, arrays: a.arrays, made: map[string]bool{}, depth: a.depth}
	b.run(append(words[:len(words):len(words)], literal("x"), literal("y")), nil)
	return len(b.out.Writes) == 0 && len(b.out.Hidden) == 0 && len(b.out.Around) == 0
}
