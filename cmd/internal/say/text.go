// Package say is how the programs talk to people.
//
// The rules, in one place:
//
//   - Data goes to standard output, talk goes to standard error.
//   - What went wrong starts with "error: ", what may surprise with "warning: ",
//     and what to do next is a line of its own that starts with "hint: ".
//   - Text that somebody else chose (a file name, a subject line, a key comment,
//     the message of another program) reaches a terminal only through [Name] or
//     [Clean], so it can neither move the cursor, nor recolour, nor reorder, nor
//     hide what is around it.
//   - Colour and progress appear only on a terminal. NO_COLOR is honoured by the
//     caller, who decides what [Options] say.
//
// The package imports the standard library only, so that the smallest programs
// can use it.
package say

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Name returns s as it may be shown as one word of a line: unchanged when all of
// it is visible and unambiguous, else in double quotes with Go's escapes.
//
// Quoted are the empty string, strings with control characters, escapes, line
// breaks, bidirectional controls, invisible characters or bytes that are no
// UTF-8, strings that begin or end with a space, and strings that begin with a
// quote themselves: so a shown name is quoted exactly when its first character
// is a double quote.
func Name(s string) string {
	if s == "" || s[0] == '"' || s[0] == ' ' || s[len(s)-1] == ' ' || !plain(s) {
		return strconv.Quote(s)
	}
	return s
}

// Clean returns s with every character that is not visible replaced by its Go
// escape. Line breaks and tabs are kept, so messages of several lines stay
// readable; a carriage return is escaped, since it would overwrite a line.
//
// Use [Name] for names; Clean is for running text, where quotes would be odd and
// where a literal backslash may be mistaken for an escape without harm.
func Clean(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t' || visible(r):
			b.WriteString(s[i : i+n])
		default:
			q := strconv.QuoteRune(r)
			if q = q[1 : len(q)-1]; q == string(r) { // printable for Go, invisible for people
				q = fmt.Sprintf(`\u%04x`, r)
			}
			b.WriteString(q)
		}
		i += n
	}
	return b.String()
}

// Line is [Clean] with line breaks and tabs escaped too: the result is one line.
func Line(s string) string {
	s = Clean(s)
	if strings.ContainsAny(s, "\n\t") {
		s = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(s)
	}
	return s
}

// Inert returns a line that no CI service takes for a command, by which whoever wrote a subject or runs a server could set variables of the job or hide
// what is said. GitHub takes a line that begins with "::", spaces aside; others, and GitHub too, take "##", a word and "[" anywhere.
func Inert(line string) string {
	if text := strings.TrimLeft(line, " \t"); strings.HasPrefix(text, "::") {
		line = `\` + text
	}
	if !strings.Contains(line, "##") {
		return line
	}
	return command().ReplaceAllString(line, `$1\[`)
}

var command = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(##\w*)\[`) })

// Shell returns s as one word of a POSIX shell command that a person can paste.
// A word with characters that are not visible uses $'…', which bash, zsh and
// ksh understand.
func Shell(s string) string {
	if s == "" {
		return "''"
	}
	if !plain(s) {
		var b strings.Builder
		b.WriteString("$'")
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\'' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ' || c >= utf8.RuneSelf-1:
				fmt.Fprintf(&b, `\%03o`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('\'')
		return b.String()
	}
	if strings.IndexFunc(s, special) < 0 && s[0] != '~' && s[0] != '=' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// special reports whether a shell may give r a meaning of its own.
func special(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	case r >= utf8.RuneSelf:
		return false
	}
	return !strings.ContainsRune("-_./:@%+,=~^", r)
}

// plain reports whether s is valid UTF-8 of visible characters only.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf {
			return plainUnicode(s[i:])
		} else if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func plainUnicode(s string) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !visible(r) {
			return false
		}
		i += n
	}
	return true
}

// visible reports whether r leaves a mark, or an ordinary space, where it stands.
// Format characters (bidirectional controls, joiners, tags), private use and
// unassigned code points do not; neither do the letters that are drawn as nothing.
func visible(r rune) bool {
	switch r {
	case 0x034f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x2800, 0x3164, 0xffa0:
		return false
	}
	return unicode.IsPrint(r)
}

// Count says how many there are of what one word names that takes an s.
func Count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}
