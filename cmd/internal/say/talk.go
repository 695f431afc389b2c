package say

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Options say what the writer of a [Talker] can show.
type Options struct {
	Prefix   string // put before each line, such as "covenant: " among the lines of Git
	Colour   bool
	Progress bool             // the writer is a terminal that a line can be redrawn on
	Width    int              // columns; 0 means 80
	Now      func() time.Time // paces progress; nil means time.Now
}

// A Talker writes to people, normally on standard error. It may be used by
// several goroutines at once; lines never mix, and a progress line is taken away
// before anything else is written.
type Talker struct {
	o Options

	mu    sync.Mutex
	w     io.Writer
	drawn bool // a progress line is on the screen
}

// New returns a talker that writes to w. Failures to write are ignored: there is
// nobody left to tell.
func New(w io.Writer, o Options) *Talker {
	if o.Width <= 0 {
		o.Width = 80
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Talker{o: o, w: w}
}

// Width returns the number of columns.
func (t *Talker) Width() int { return t.o.Width }

// Palette returns the colours that suit the talker's writer.
func (t *Talker) Palette() Palette { return Palette(t.o.Colour) }

// Note writes one remark. As for all methods, what the format and its arguments
// yield is passed through [Clean], so colours of a [Palette] do not survive it.
func (t *Talker) Note(format string, args ...any) {
	t.write("", fmt.Sprintf(format, args...))
}

// Warn writes what may surprise, and goes on.
func (t *Talker) Warn(format string, args ...any) {
	t.write(t.Palette().Warn("warning: "), fmt.Sprintf(format, args...))
}

// Error writes what went wrong. It does not end the program.
func (t *Talker) Error(err error) {
	t.write(t.Palette().Bad("error: "), err.Error())
}

// Hint writes what to do next, one line each.
func (t *Talker) Hint(lines ...string) {
	for _, l := range lines {
		t.write(t.Palette().Dim("hint: "), l)
	}
}

func (t *Talker) write(lead, text string) {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(t.o.Prefix)
		b.WriteString(lead)
		b.WriteString(Inert(Clean(line)))
		b.WriteByte('\n')
		lead = strings.Repeat(" ", min(len(lead), 2))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
	_, _ = io.WriteString(t.w, b.String())
}

// erase takes the progress line away. The caller holds the lock.
func (t *Talker) erase() {
	if t.drawn {
		_, _ = io.WriteString(t.w, "\r\x1b[K")
		t.drawn = false
	}
}

// A Palette colours text when true, and leaves it alone when false. The text is
// the program's own; what others chose goes through [Name] or [Clean] first.
type Palette bool

// Good is for what is in order.
func (p Palette) Good(s string) string { return p.paint("32", s) }

// Bad is for what is wrong.
func (p Palette) Bad(s string) string { return p.paint("31", s) }

// Warn is for what may be wrong.
func (p Palette) Warn(s string) string { return p.paint("33", s) }

// Mark is for names of objects, such as commits.
func (p Palette) Mark(s string) string { return p.paint("36", s) }

// Dim is for what matters less.
func (p Palette) Dim(s string) string { return p.paint("2", s) }

// Bold is for what matters more.
func (p Palette) Bold(s string) string { return p.paint("1", s) }

func (p Palette) paint(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
