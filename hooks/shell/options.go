package shell

import "strings"

// A grammar says how a program reads its options: in clusters, with arguments in the same word or in the next, by the beginning of a long
// name, and up to "--". Every table of programs uses it, so what is true of one spelling is true of all.
type grammar struct {
	takes string // letters whose argument follows, in the same word or as the next
	may   string // letters whose argument, if they have one, follows in the same word
	longs string // long options that matter, by name; NAME= takes an argument
	early bool   // options end at the first operand
}

// An option is one that is given, by its letter or its long name.
type option struct {
	name  string
	value value // its argument, where it takes one
}

// read tells options from operands. A word that is not known is an operand, but where it begins with a dash.
func (g grammar) read(args []value) (options []option, operands []value) {
	for i := 0; i < len(args); i++ {
		v := args[i]
		next := func() value {
			if i+1 < len(args) {
				i++
				return args[i]
			}
			return value{known: true}
		}
		switch {
		case v.text == "--" && v.known:
			return options, append(operands, args[i+1:]...)
		case strings.HasPrefix(v.text, "--"):
			name, _, has := strings.Cut(v.text[2:], "=")
			names, takes := g.long(name)
			arg := value{known: v.known}
			if has {
				arg = v.from(len(name) + 3)
			} else if takes {
				arg = next()
			}
			for _, n := range names {
				options = append(options, option{n, arg})
			}
		case strings.HasPrefix(v.text, "-") && len(v.text) > 1:
			for j := 1; j < len(v.text); j++ {
				o := option{name: v.text[j : j+1], value: value{known: v.known}}
				takes := strings.Contains(g.takes, o.name)
				rest := takes || strings.Contains(g.may, o.name)
				if rest && j+1 < len(v.text) {
					o.value = v.from(j + 1)
				} else if takes {
					o.value = next()
				}
				if options = append(options, o); rest {
					break
				}
			}
		case g.early:
			return options, args[i:]
		default:
			operands = append(operands, v)
		}
	}
	return options, operands
}

// long returns the long options that a name may be short for, and whether one of them takes an argument.
func (g grammar) long(name string) (names []string, takes bool) {
	for _, l := range strings.Fields(g.longs) {
		full, arg := strings.CutSuffix(l, "=")
		if full == name {
			return []string{full}, arg
		}
		if name != "" && strings.HasPrefix(full, name) {
			names = append(names, full)
			takes = takes || arg
		}
	}
	if names == nil {
		names = []string{name}
	}
	return names, takes
}

// from is what a word says from its nth byte on.
func (v value) from(n int) value {
	out := value{text: v.text[n:], known: v.known, glob: v.glob, sure: max(0, v.sure-n), pattern: escapeGlob(v.text[n:])}
	if v.glob {
		out.pattern = strings.TrimPrefix(v.pattern, escapeGlob(v.text[:n]))
	}
	return out
}

// has returns the arguments of the options of these names, and whether there is one.
func has(options []option, names string) (arguments []value, there bool) {
	for _, o := range options {
		for _, n := range strings.Fields(names) {
			if o.name == n {
				arguments = append(arguments, o.value)
				there = true
			}
		}
	}
	return arguments, there
}

// given reports whether there is an option of one of these names.
func given(options []option, names string) bool {
	_, there := has(options, names)
	return there
}

// operands are the words that are no options.
func operands(args []value) []value {
	_, out := grammar{}.read(args)
	return out
}
