package provenance

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
)

// A Delta is how one text became another, line by line.
type Delta struct {
	old, now [][]byte
	hunks    []hunk
}

// hunk says that old[from:to] became now[at:end].
type hunk struct{ from, to, at, end int }

// CompareText finds how a text became another, with the algorithm of [Patch] and its limits; false where one of them is
// binary, or there is more than is looked at.
func CompareText(old, now []byte) (*Delta, bool) {
	if len(old) > MaxPatchContent || len(now) > MaxPatchContent || bytes.IndexByte(old, 0) >= 0 || bytes.IndexByte(now, 0) >= 0 {
		return nil, false
	}
	d := &Delta{old: splitLines(old), now: splitLines(now)}
	script, ok := editScript(d.old, d.now)
	if !ok {
		return nil, false
	}
	x, y := 0, 0 // lines of each side so far
	for i := 0; i < len(script); {
		if script[i].op == ' ' {
			x, y, i = x+1, y+1, i+1
			continue
		}
		h := hunk{from: x, to: x, at: y, end: y}
		for ; i < len(script) && script[i].op != ' '; i++ {
			if script[i].op == '-' {
				h.to++
			} else {
				h.end++
			}
		}
		d.hunks = append(d.hunks, h)
		x, y = h.to, h.end
	}
	return d, true
}

// Lines are lines of a text, from 1 on, both ends among them.
type Lines struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Now returns the lines of the new text that are not in the old one; where lines went, and none came, the one that follows, or the last.
func (d *Delta) Now() []Lines {
	out := make([]Lines, len(d.hunks))
	for i, h := range d.hunks {
		out[i] = Lines{h.at + 1, h.end}
		if h.at == h.end {
			n := max(1, min(h.at+1, len(d.now)))
			out[i] = Lines{n, n}
		}
	}
	return out
}

// Came returns the lines of the new text that are not in the old one, and nothing for lines that went.
func (d *Delta) Came() []Lines {
	var out []Lines
	for _, h := range d.hunks {
		if h.at < h.end {
			out = append(out, Lines{h.at + 1, h.end})
		}
	}
	return out
}

// Carry tells whose the lines of the new text are, given whose those of the old one are: of what came with d by tells, by its line, counted from 1. It is nil where owners are not of
// the old text's lines.
func (d *Delta) Carry(owners []int, by func(line int) int) []int {
	if len(owners) != len(d.old) {
		return nil
	}
	out := make([]int, 0, len(d.now))
	x := 0
	for _, h := range d.hunks {
		out = append(out, owners[x:h.from]...)
		for line := h.at + 1; line <= h.end; line++ {
			out = append(out, by(line))
		}
		x = h.to
	}
	return append(out, owners[x:]...)
}

// Before is how many lines the old text has.
func (d *Delta) Before() int { return len(d.old) }

// Brought tells how many of the lines that came with d a step had brought, too, whatever stands around them, each as often as the step did; own are the others. A line that has no
// letter and no digit is as the one before it. What else the new text has of a line, that was not there before the step, the step may have brought already. moved is whether they are not in
// the step's order.
func (d *Delta) Brought(step *Delta) (own []Lines, shared int, moved bool) {
	left := map[string][]int{} // line → where the step has it
	for i, l := range step.came() {
		left[l] = append(left[l], i)
	}
	had := map[string]int{}
	count := func(lines []string, n int) {
		for _, l := range lines {
			if left[l] != nil {
				had[l] += n
			}
		}
	}
	count(bare(d.now), 1)
	count(d.came(), -1)
	count(bare(step.old), -1)
	for l, n := range had {
		if n = min(n, len(left[l])); n > 0 {
			left[l] = left[l][n:]
		}
	}
	last := -1
	take := func(line string) bool {
		at := left[line]
		if len(at) == 0 {
			return false
		}
		i, _ := slices.BinarySearch(at, last)
		if i == len(at) {
			i = 0
		}
		if at[i] > last {
			last = at[i]
		} else {
			moved = moved || speaks(line)
		}
		left[line] = slices.Delete(at, i, i+1)
		return true
	}
	for _, h := range d.hunks {
		theirs := false
		for i, l := range d.now[h.at:h.end] {
			line := strings.TrimRight(string(l), "\r\n")
			theirs = (theirs || speaks(line)) && take(line)
			switch at := h.at + i + 1; {
			case theirs:
				shared++
			case len(own) > 0 && own[len(own)-1].End == at-1:
				own[len(own)-1].End = at
			default:
				own = append(own, Lines{at, at})
			}
		}
	}
	return own, shared, moved
}

// came are the lines that d brought, without their ends, in order; went those that it took away.
func (d *Delta) came() (out []string) {
	for _, h := range d.hunks {
		out = append(out, bare(d.now[h.at:h.end])...)
	}
	return out
}

func (d *Delta) went() (out []string) {
	for _, h := range d.hunks {
		out = append(out, bare(d.old[h.from:h.to])...)
	}
	return out
}

// bare are lines without their ends.
func bare(lines [][]byte) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimRight(string(l), "\r\n")
	}
	return out
}

// Drops reports whether lines went with d that a step had not taken away. Lines without a letter and a digit say nothing.
func (d *Delta) Drops(step *Delta) bool {
	took := map[string]bool{}
	for _, l := range step.went() {
		took[l] = true
	}
	return slices.ContainsFunc(d.went(), func(line string) bool { return speaks(line) && !took[line] })
}

// Edits is how many lines went and came.
func (d *Delta) Edits() int {
	n := 0
	for _, h := range d.hunks {
		n += h.to - h.from + h.end - h.at
	}
	return n
}

// Work is about how much there was to look at for a Delta, in lines.
func (d *Delta) Work() int { return len(d.old) + len(d.now) + d.Edits()*d.Edits()/8 }

// WorkOf is about how much there is to look at to tell whether a change revives something of a step.
func (d *Delta) WorkOf(step *Delta) int {
	return len(d.hunks)*len(step.now)/64 + d.Work() + step.Work()
}

// Merge joins what two sides made of one text: what either did, and once what both did alike. False where both touched the
// same lines, or neighbouring ones, in different ways; the sides must have the same old text.
func Merge(ours, theirs *Delta) ([]byte, bool) {
	var out []byte
	done := 0 // lines of the old text
	add := func(d *Delta, h hunk) {
		for _, l := range d.old[done:h.from] {
			out = append(out, l...)
		}
		for _, l := range d.now[h.at:h.end] {
			out = append(out, l...)
		}
		done = h.to
	}
	a, b := ours.hunks, theirs.hunks
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].to < b[0].from:
			add(ours, a[0])
			a = a[1:]
		case len(a) == 0 || b[0].to < a[0].from:
			add(theirs, b[0])
			b = b[1:]
		case a[0].from == b[0].from && a[0].to == b[0].to && sameLines(ours.now[a[0].at:a[0].end], theirs.now[b[0].at:b[0].end]):
			add(ours, a[0])
			a, b = a[1:], b[1:]
		default:
			return nil, false
		}
	}
	for _, l := range ours.old[done:] {
		out = append(out, l...)
	}
	return out, true
}

// Revives reports whether a change does again what a step of the past of its old text had done, or undoes what such a step
// had done: whether the text after that step has some of the change already, in the same place; or the change brings back a line that stood
// there and stands nowhere now, or that the step took away, or takes away one that the step brought or took away; or adds or takes away just what the step took away or
// added in one place, with the same line before it or after it. A line that has no letter and no digit says nothing by itself.
func (d *Delta) Revives(step *Delta) bool {
	return d.stands(step.now) || d.bringsBack(step) || d.mirrors(step)
}

// stands reports whether a text has, in one place, just what a hunk of d added, or lacks what it took away, with both neighbours; of lines
// that say something one neighbour is enough.
func (d *Delta) stands(text [][]byte) bool {
	for _, h := range d.hunks {
		added := d.now[h.at:h.end]
		says := slices.ContainsFunc(added, func(l []byte) bool { return speaks(string(l)) })
		for i := 0; i+len(added) <= len(text); i++ {
			if !sameLines(text[i:i+len(added)], added) {
				continue
			}
			before := neighbour(text, i-1, d.now, h.at-1)
			after := neighbour(text, i+len(added), d.now, h.end)
			if before && after || says && (before || after) {
				return true
			}
		}
	}
	return false
}

// neighbour reports whether two texts have the same line at two places, or both end there.
func neighbour(a [][]byte, i int, b [][]byte, j int) bool {
	out := func(t [][]byte, n int) bool { return n < 0 || n >= len(t) }
	if out(a, i) || out(b, j) {
		return out(a, i) && out(b, j)
	}
	return bytes.Equal(a[i], b[j])
}

// bringsBack reports whether lines that stood there before or after a step, and stand nowhere now, come back with d, or whether some that it
// took away, or brought, go.
func (d *Delta) bringsBack(step *Delta) bool {
	old, now, before, then := lineSet(d.old), lineSet(d.now), lineSet(step.old), lineSet(step.now)
	for l := range now {
		if !old[l] && (then[l] || before[l]) && speaks(l) {
			return true
		}
	}
	for l := range old {
		if !now[l] && then[l] != before[l] && speaks(l) {
			return true
		}
	}
	return false
}

// speaks reports whether a line has a letter or a digit.
func speaks(line string) bool {
	return strings.ContainsFunc(line, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// Writes reports whether a text has a line with a letter or a digit that none of the others has, whatever ends it.
func Writes(now []byte, others ...[]byte) bool {
	had := map[string]bool{}
	for _, text := range others {
		for _, l := range splitLines(text) {
			had[strings.TrimRight(string(l), "\r\n")] = true
		}
	}
	return slices.ContainsFunc(splitLines(now), func(l []byte) bool {
		line := strings.TrimRight(string(l), "\r\n")
		return !had[line] && speaks(line)
	})
}

// mirrors reports whether d adds just what a step took away in one place, or the other way round, with a neighbour in common.
func (d *Delta) mirrors(step *Delta) bool {
	for _, h := range step.hunks {
		for _, g := range d.hunks {
			if g.end > g.at && alike(step.old, h.from, h.to, d.now, g.at, g.end) || g.to > g.from && alike(step.now, h.at, h.end, d.old, g.from, g.to) {
				return true
			}
		}
	}
	return false
}

// alike reports whether two stretches of lines are the same, and what is before or after them.
func alike(a [][]byte, i, j int, b [][]byte, k, l int) bool {
	if !sameLines(a[i:j], b[k:l]) {
		return false
	}
	before, after := neighbour(a, i-1, b, k-1), neighbour(a, j, b, l)
	return before || after
}

func lineSet(lines [][]byte) map[string]bool {
	out := make(map[string]bool, len(lines))
	for _, l := range lines {
		out[string(l)] = true
	}
	return out
}

func sameLines(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
