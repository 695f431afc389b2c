package shell

import (
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// sed reads sed(1): files that it changes in place, those that its scripts write, and commands that they run.
func (a *analysis) sed(args []value) {
	options, files := grammar{takes: "efl", may: "iI", longs: "debug expression= file= follow-symlinks in-place line-length= null-data posix quiet regexp-extended sandbox separate silent unbuffered zero-terminated"}.read(args)
	scripts, in := has(options, "e expression")
	if given(options, "f file") {
		in = true
		a.hidden("a script of sed")
	}
	if !in && len(files) > 0 {
		scripts, files = files[:1], files[1:]
	}
	if given(options, "i I in-place") {
		for _, v := range files {
			if v.text != "" || !v.known { // sed -i '' of BSD
				a.writes(v, agent.Write{})
			}
		}
	}
	for _, s := range scripts {
		if !s.known {
			a.hidden("a script of sed")
			continue
		}
		r := script{s: s.text}
		if !r.read() {
			a.hidden("a script of sed")
			a.mentions("a script of sed that is not read", []value{s})
		}
		if r.runs {
			a.hidden("what a script of sed runs")
			a.mentions("what a script of sed runs", []value{s})
		}
		for _, text := range r.commands {
			a.text(text)
		}
		for _, name := range r.reads {
			a.names(literal(name), false)
		}
		for _, name := range r.writes {
			a.writes(literal(name), agent.Write{})
		}
	}
}

// script reads a script of sed: what it reads, writes and runs is all that is kept.
type script struct {
	s        string
	i        int
	reads    []string
	writes   []string
	commands []string
	runs     bool // lines of the input are commands
}

func (r *script) peek() byte {
	if r.i < len(r.s) {
		return r.s[r.i]
	}
	return 0
}

func (r *script) skip(set string) {
	for r.i < len(r.s) && strings.IndexByte(set, r.s[r.i]) >= 0 {
		r.i++
	}
}

// line is the rest of the line.
func (r *script) line() string {
	rest, _, _ := strings.Cut(r.s[r.i:], "\n")
	r.i += len(rest)
	return strings.TrimLeft(rest, " \t")
}

// continues reports whether the line after a line of text belongs to it.
func continues(line string) bool { return (len(line)-len(strings.TrimRight(line, "\\")))%2 == 1 }

// until passes over a part that ends with a byte; after a backslash it stands for itself. Programs differ about one in brackets.
func (r *script) until(end byte, pattern bool) bool {
	for ; r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; {
		case c == '\\':
			r.i++
		case c == end:
			r.i++
			return true
		case c == '[' && pattern:
			j := r.i + 1
			for j < len(r.s) && r.s[j] == '^' {
				j++
			}
			if k := strings.IndexByte(r.s[min(j+1, len(r.s)):], ']'); k >= 0 {
				if strings.IndexByte(r.s[j:j+1+k], end) >= 0 {
					return false
				}
				r.i = j + 1 + k
			}
		}
	}
	return false
}

func (r *script) address() bool {
	switch c := r.peek(); {
	case c == '/':
		r.i++
		if !r.until('/', true) {
			return false
		}
	case c == '\\' && r.i+1 < len(r.s):
		end := r.s[r.i+1]
		r.i += 2
		if !r.until(end, true) {
			return false
		}
	default:
		r.skip("0123456789$~+")
	}
	r.skip("IM ")
	return true
}

// read reads the script; false where it is not understood.
func (r *script) read() bool {
	for {
		r.skip(" \t\n;}")
		if r.i >= len(r.s) {
			return true
		}
		if !r.address() {
			return false
		}
		if r.peek() == ',' {
			r.i++
			if r.skip(" "); !r.address() {
				return false
			}
		}
		r.skip(" \t!")
		c := r.peek()
		r.i++
		switch c {
		case '{', '=', 'd', 'D', 'g', 'G', 'h', 'H', 'n', 'N', 'p', 'P', 'x', 'z', 'F', '#':
			if c == '#' {
				r.line()
			}
		case 'l', 'L', 'q', 'Q':
			r.skip(" 0123456789")
		case 'b', 't', 'T', ':':
			r.skip(" ")
			for r.i < len(r.s) && strings.IndexByte("\n;}", r.s[r.i]) < 0 {
				r.i++
			}
		case 'a', 'i', 'c':
			for continues(r.line()) && r.i < len(r.s) {
				r.i++
			}
		case 'r', 'R':
			r.reads = append(r.reads, r.line())
		case 'w', 'W':
			r.writes = append(r.writes, r.line())
		case 'e':
			text := r.line()
			r.runs = r.runs || text == ""
			r.commands = append(r.commands, text)
		case 's', 'y':
			if !r.substitution(c == 's') {
				return false
			}
		default:
			return false
		}
	}
}

func (r *script) substitution(flags bool) bool {
	end := r.peek()
	if end == 0 || end == '\n' || end == '\\' {
		return false
	}
	r.i++
	if !r.until(end, flags) || !r.until(end, false) {
		return false
	}
	for flags && r.i < len(r.s) {
		switch c := r.s[r.i]; {
		case strings.IndexByte("gpiImM0123456789", c) >= 0:
			r.i++
		case c == 'e':
			r.i++
			r.runs = true
		case c == 'w':
			r.i++
			r.writes = append(r.writes, r.line())
		default:
			return strings.IndexByte(" \t\n;}#", c) >= 0
		}
	}
	return true
}
