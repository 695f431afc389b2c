package redaction

import (
	"sort"
	"strings"
)

// A matcher looks around an anchor, which stands at v.s[start:end], and returns what to replace. A hit
// begins at most hold bytes before the anchor, and covers whole characters. All bytes are read through
// the view.
type matcher func(v *view, start, end int) (from, to int, ok bool)

// An anchor is a word whose place makes a matcher look. Words are found in any letter case; a matcher
// that minds looks again.
type anchor struct {
	word  string
	rule  ruleID
	match matcher
}

// A machine is the rules made ready to run.
type machine struct {
	anchors []anchor
	auto    *automaton
}

// A view is what one matcher sees of a text: what stands between marks, cut at Back and Window. It
// notes whether the matcher looked at a mark, or past what has arrived.
type view struct {
	s            string
	lo, hi       int
	markLo, more bool
	markHi       bool
	touched      bool
	short        bool
	looks        int
}

// at returns the byte at i, and 0 outside the view.
func (v *view) at(i int) byte {
	v.looks++
	if i >= v.lo && i < v.hi {
		return v.s[i]
	}
	if i < v.lo {
		v.touched = v.touched || v.markLo
		return 0
	}
	v.touched = v.touched || v.markHi
	v.short = v.short || v.more
	return 0
}

// run returns where the run of bytes of a class ends that begins at i. It fails when the run is longer
// than limit.
func (v *view) run(i, limit int, class func(byte) bool) (int, bool) {
	for n := 0; class(v.at(i)) && i < v.hi; n++ {
		if n == limit {
			return i, false
		}
		i++
	}
	return i, true
}

// back returns where the run of bytes of a class begins that ends before i, and whether it is at most
// limit long.
func (v *view) back(i, limit int, class func(byte) bool) (int, bool) {
	for n := 0; class(v.at(i-1)) && i > v.lo; n++ {
		if n == limit {
			return i, false
		}
		i--
	}
	return i, true
}

// has reports whether word stands at i, in this letter case.
func (v *view) has(i int, word string) bool {
	for n := range len(word) {
		if v.at(i+n) != word[n] {
			return false
		}
	}
	return true
}

// wordStart reports whether a word may begin at i: before it is no letter, digit or underscore, or an
// escape ends there: \n, %3D, \u003d, or the colour of a terminal.
func (v *view) wordStart(i int) bool {
	c := v.at(i - 1)
	if !isWord(c) {
		return true
	}
	d := v.at(i - 2)
	switch {
	case d == '\\':
		return c == 'n' || c == 'r' || c == 't'
	case c == 'm' && (isDigit(d) || d == '['):
		j, ok := v.back(i-1, 16, func(c byte) bool { return isDigit(c) || c == ';' })
		return ok && v.at(j-1) == '['
	case !isHex(c) || !isHex(d):
		return false
	}
	return v.at(i-3) == '%' || isHex(v.at(i-3)) && isHex(v.at(i-4)) && v.at(i-5) == 'u' && v.at(i-6) == '\\'
}

// all returns what is claimed in a whole text.
func (m *machine) all(s string) []span {
	spans, _, _ := m.find(s, 0, true, nil)
	return spans
}

// find appends what anchors claim that begin at from or after. Unless the text is final, it returns
// before which place every anchor has been decided; from there find is to be called again, with more
// text, and may claim again what it claimed now. It also returns how many bytes matchers looked at.
func (m *machine) find(s string, from int, final bool, spans []span) (claimed []span, decided, looks int) {
	marks, known := findMarks(s, final)
	decided = len(s)
	if !final {
		decided = max(from, min(known, len(s)-m.auto.longest+1))
	}
	state := uint32(0)
	for i := from; i < len(s); i++ {
		state = m.auto.next[state&^accepts|uint32(m.auto.class[s[i]])]
		if state&accepts == 0 {
			continue
		}
		for _, id := range m.auto.out[(state&^accepts)>>m.auto.shift] {
			a := &m.anchors[id]
			start, end := i+1-len(a.word), i+1
			if start >= decided {
				continue
			}
			v, ok := viewAt(s, start, end, marks, known, !final)
			if !ok {
				if v.more {
					decided = start
				}
				continue
			}
			low, high, hit := a.match(&v, start, end)
			looks += v.looks
			switch {
			case v.touched:
			case v.short:
				decided = start
			case hit && high > low:
				spans = append(spans, span{start: low, end: high, rule: a.rule})
			}
		}
		if i >= decided+m.auto.longest {
			break
		}
	}
	return spans, decided, looks
}

// viewAt returns what a matcher sees around the anchor s[start:end]; false when a mark covers a part of
// it, or may.
func viewAt(s string, start, end int, marks []span, known int, more bool) (view, bool) {
	v := view{s: s, lo: max(0, start-Back), hi: min(known, start+Window)}
	v.more = more && v.hi == known && known < start+Window
	i := sort.Search(len(marks), func(i int) bool { return marks[i].end > start })
	if i > 0 && marks[i-1].end >= v.lo {
		v.lo, v.markLo = marks[i-1].end, marks[i-1].end > start-Back
	}
	if i < len(marks) && marks[i].start < v.hi {
		v.hi, v.markHi, v.more = marks[i].start, true, false
	}
	return v, v.hi >= end
}

// findMarks returns where marks stand, and up to where that is known.
func findMarks(s string, final bool) (marks []span, known int) {
	known = len(s)
	for at := 0; ; {
		i := strings.Index(s[at:], markOpen)
		if i < 0 {
			break
		}
		at += i
		n, partial := parseMark(s[at:])
		if n > 0 {
			marks = append(marks, span{start: at, end: at + n})
		} else if partial && !final {
			return marks, at
		}
		at += max(n, 1)
	}
	if final {
		return marks, known
	}
	tail := max(0, len(s)-len(markOpen))
	for i := tail; i < len(s); i++ {
		if _, partial := parseMark(s[i:]); partial {
			return marks, i
		}
	}
	return marks, known
}

// accepts flags the states of an automaton in which a word ends.
const accepts = 1 << 31

// An automaton finds words in one pass (Aho and Corasick, 1975), as a table. A state is the offset of
// its row.
type automaton struct {
	class   [256]uint8
	shift   uint
	next    []uint32
	out     [][]uint16
	longest int
}

func newAutomaton(anchors []anchor) *automaton {
	a := &automaton{longest: 1}
	classes, most := 1, 1
	for _, x := range anchors {
		a.longest = max(a.longest, len(x.word))
		most += len(x.word)
		for i := range len(x.word) {
			if c := lower(x.word[i]); a.class[c] == 0 {
				a.class[c] = uint8(classes)
				classes++
			}
		}
	}
	for c := byte('A'); c <= 'Z'; c++ {
		a.class[c] = a.class[lower(c)]
	}
	for 1<<a.shift < classes {
		a.shift++
	}
	width := uint32(1) << a.shift
	a.next, a.out = make([]uint32, width, uint32(most)*width), make([][]uint16, 1, most)
	for id, x := range anchors {
		state := uint32(0)
		for i := range len(x.word) {
			at := state | uint32(a.class[lower(x.word[i])])
			if a.next[at] == 0 {
				a.next[at] = uint32(len(a.next))
				a.next = a.next[:len(a.next)+int(width)] // no bytes of it were written yet: it is of zeros
				a.out = append(a.out, nil)
			}
			state = a.next[at]
		}
		a.out[state>>a.shift] = append(a.out[state>>a.shift], uint16(id))
	}
	a.link(width)
	return a
}

// link completes the trie: where no word goes on, the longest of its ends that a word begins with does.
func (a *automaton) link(width uint32) {
	// fail has for each state the state of that end, whose row is complete before those of longer words are.
	fail := make([]uint32, len(a.out))
	queue := make([]uint32, 1, len(a.out))
	row := make([]uint32, width)
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		copy(row, a.next[state:])
		f := fail[state>>a.shift]
		if state != 0 {
			copy(a.next[state:state+width], a.next[f:])
		}
		for c, child := range row {
			if child == 0 {
				continue
			}
			end := uint32(0)
			if state != 0 {
				end = a.next[f|uint32(c)] &^ accepts
			}
			fail[child>>a.shift] = end
			queue = append(queue, child)
			out := append(a.out[child>>a.shift], a.out[end>>a.shift]...)
			if a.out[child>>a.shift] = out; len(out) > 0 {
				child |= accepts
			}
			a.next[state|uint32(c)] = child
		}
	}
}
