package intents

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/intent"
)

// Row is what the index has of an intent.
type Row struct {
	ID       intent.ID
	Name     string
	State    intent.State
	Priority intent.Priority
	Role     intent.Role
	Title    string
	Next     string
	Parent   intent.ID
	Needs    []intent.ID
	Opened   string // when, and by whom
	Opener   string
	Moved    string // when it was moved last, and by whom; "" where it was not
	Mover    string
	Lost     int    // statements that do not count
	Void     string // why it is none
	Trail    Trail  // the moves that count

	unseen bool // a statement by who is no operator was seen by none
	judged bool // a statement by who is no operator
	at     place
}

// place is where the line of an intent stands.
type place struct {
	off int64
	len int
	sum string // first 16 bytes of the SHA-256, hexadecimal
}

// columns is how many fields the line of a row has. Those of a [Brief] come first.
const columns = 20

func (r *Row) encode(b *bytes.Buffer) {
	needs := make([]string, len(r.Needs))
	for i, n := range r.Needs {
		needs[i] = string(n)
	}
	flags := ""
	for _, f := range []struct {
		set  bool
		flag string
	}{{r.unseen, flagUnseen}, {r.judged, flagJudged}, {r.Void != "", flagVoid}} {
		if f.set {
			flags += f.flag
		}
	}
	for i, s := range [columns]string{
		string(r.ID), r.Name, string(r.State), string(r.Priority), flags, strings.Join(needs, " "), r.Opened, string(r.Role), r.Title, r.Next, string(r.Parent), r.Opener, r.Moved, r.Mover,
		strconv.Itoa(r.Lost), r.Void, string(r.Trail), strconv.FormatInt(r.at.off, 10), strconv.Itoa(r.at.len), r.at.sum,
	} {
		if i > 0 {
			b.WriteByte('\t')
		}
		if strings.ContainsAny(s, "\t\n") {
			s = strings.NewReplacer("\t", " ", "\n", " ").Replace(s)
		}
		b.WriteString(s)
	}
	b.WriteByte('\n')
}

// Flags of a row.
const (
	flagUnseen = "u"
	flagJudged = "j"
	flagVoid   = "v"
)

// A Brief is as much of a row as it takes to tell whether that is wanted.
type Brief struct {
	ID       intent.ID
	Name     string
	State    intent.State
	Priority intent.Priority
	flags    string
	needs    string // ids, with spaces between them
	opened   string
}

// Void reports whether it is none.
func (b *Brief) Void() bool { return strings.Contains(b.flags, flagVoid) }

func (b *Brief) unseen() bool { return strings.Contains(b.flags, flagUnseen) }
func (b *Brief) judged() bool { return strings.Contains(b.flags, flagJudged) }

// cutBrief reads the first fields of a line, and returns the others.
func cutBrief(line string) (b Brief, rest string, ok bool) {
	var f [7]string
	for i := range f {
		if f[i], line, ok = strings.Cut(line, "\t"); !ok {
			return Brief{}, "", false
		}
	}
	return Brief{intent.ID(f[0]), f[1], intent.State(f[2]), intent.Priority(f[3]), f[4], f[5], f[6]}, line, true
}

func decodeRow(line string) (Row, bool) {
	b, rest, ok := cutBrief(line)
	if !ok {
		return Row{}, false
	}
	var f [columns - 7]string
	for i := range f {
		var more bool
		if f[i], rest, more = strings.Cut(rest, "\t"); more != (i < len(f)-1) {
			return Row{}, false
		}
	}
	r := Row{
		ID: b.ID, Name: b.Name, State: b.State, Priority: b.Priority, Opened: b.opened, unseen: b.unseen(), judged: b.judged(),
		Role: intent.Role(f[0]), Title: f[1], Next: f[2], Parent: intent.ID(f[3]), Opener: f[4], Moved: f[5], Mover: f[6], Void: f[8], Trail: Trail(f[9]), at: place{sum: f[12]},
	}
	if b.needs != "" {
		for n := range strings.SplitSeq(b.needs, " ") {
			r.Needs = append(r.Needs, intent.ID(n))
		}
	}
	var err1, err2, err3 error
	r.Lost, err1 = strconv.Atoi(f[7])
	r.at.off, err2 = strconv.ParseInt(f[10], 10, 64)
	r.at.len, err3 = strconv.Atoi(f[11])
	return r, errors.Join(err1, err2, err3) == nil && r.at.off >= 0 && r.at.len > 0 && r.at.len <= maxLine
}

// A shelf holds the rows of a book: each as the line that the index has of it, which is read when somebody asks for it.
type shelf struct {
	lines []string // "" where only rows has it
	rows  []*Row   // nil: not read yet
}

// newShelf takes lines apart; false where they are not that many rows.
func newShelf(text string, n int) (*shelf, bool) {
	if n < 0 || n > len(text) {
		return nil, false
	}
	s := &shelf{lines: make([]string, 0, n), rows: make([]*Row, n)}
	for line := range strings.Lines(text) {
		if strings.Count(line, "\t") != columns-1 {
			return nil, false
		}
		s.lines = append(s.lines, strings.TrimSuffix(line, "\n"))
	}
	return s, len(s.lines) == n
}

func (s *shelf) len() int { return len(s.rows) }

// at returns a row. It is changed by put alone.
func (s *shelf) at(i int) *Row {
	if s.rows[i] == nil {
		r, ok := decodeRow(s.lines[i])
		if !ok {
			r.Void = "the index can't be read"
		}
		s.rows[i] = &r
	}
	return s.rows[i]
}

func (s *shelf) brief(i int) Brief {
	if s.lines[i] != "" {
		b, _, _ := cutBrief(s.lines[i])
		return b
	}
	r := s.rows[i]
	b := Brief{ID: r.ID, Name: r.Name, State: r.State, Priority: r.Priority, opened: r.Opened}
	if len(r.Needs) > 0 {
		b.needs = "some"
	}
	if r.unseen {
		b.flags += flagUnseen
	}
	if r.judged {
		b.flags += flagJudged
	}
	if r.Void != "" {
		b.flags += flagVoid
	}
	return b
}

// id returns whose row it is.
func (s *shelf) id(i int) intent.ID {
	if s.lines[i] != "" {
		id, _, _ := strings.Cut(s.lines[i], "\t")
		return intent.ID(id)
	}
	return s.rows[i].ID
}

// trail returns the moves of a row; none where that is none.
func (s *shelf) trail(i int) Trail {
	if line := s.lines[i]; line != "" {
		for range 3 { // the last that come after it
			line = line[:strings.LastIndexByte(line, '\t')]
		}
		return Trail(line[strings.LastIndexByte(line, '\t')+1:])
	}
	return s.rows[i].Trail
}

func (s *shelf) put(i int, r Row) { s.lines[i], s.rows[i] = "", &r }

func (s *shelf) add(r Row) { s.lines, s.rows = append(s.lines, ""), append(s.rows, &r) }

// changed reports whether a row is no more what the index has.
func (s *shelf) changed(i int) bool { return s.lines[i] == "" }

// sort puts what was opened first before others, and reports whether any row has another number now. What came out of the index is in
// order: only what was put or added since is looked at, and what stands beside it.
func (s *shelf) sort() bool {
	ordered := func(i, j int) bool {
		a, b := s.brief(i), s.brief(j)
		return cmp.Or(cmp.Compare(a.opened, b.opened), cmp.Compare(a.ID, b.ID)) < 0
	}
	sorted := true
	for i := range s.lines {
		if s.changed(i) {
			sorted = sorted && (i == 0 || ordered(i-1, i)) && (i+1 == s.len() || ordered(i, i+1))
		}
	}
	if sorted {
		return false
	}
	type item struct {
		opened string
		id     intent.ID
		line   string
		row    *Row
	}
	list := make([]item, s.len())
	for i := range list {
		b := s.brief(i)
		list[i] = item{b.opened, b.ID, s.lines[i], s.rows[i]}
	}
	slices.SortFunc(list, func(a, b item) int { return cmp.Or(cmp.Compare(a.opened, b.opened), cmp.Compare(a.id, b.id)) })
	for i := range list {
		s.lines[i], s.rows[i] = list[i].line, list[i].row
	}
	return true
}

// size is about how many bytes encode writes.
func (s *shelf) size() int {
	n := 0
	for i, line := range s.lines {
		if n += len(line) + 1; s.changed(i) {
			n += 512
		}
	}
	return n
}

// encode writes all rows.
func (s *shelf) encode(b *bytes.Buffer) {
	for i, line := range s.lines {
		if line == "" {
			s.rows[i].encode(b)
			continue
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
}
