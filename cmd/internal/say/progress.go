package say

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	progressDelay = 500 * time.Millisecond // shorter work shows nothing
	progressPace  = 100 * time.Millisecond // between two drawings
	barWidth      = 24
)

// A Progress is a line that tells how far a piece of work has come. Methods are
// safe for use by several goroutines, and all of them do nothing on a nil
// Progress.
type Progress struct {
	t     *Talker
	label string
	total int
	done  int
	start time.Time
	last  time.Time // of the newest drawing
	ended bool
}

// Progress starts a piece of work of total steps; 0 or less means that the number
// is not known. The line shows itself once the work has taken half a second, and
// only on a terminal. The caller ends it with [Progress.Done].
func (t *Talker) Progress(label string, total int) *Progress {
	return &Progress{t: t, label: Line(label), total: total, start: t.o.Now()}
}

// Add says that n more steps are done.
func (p *Progress) Add(n int) {
	if p == nil {
		return
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.done += n
	p.draw()
}

// Done takes the line away. Calling it again does nothing.
func (p *Progress) Done() {
	if p == nil {
		return
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.ended = true
	p.t.erase()
}

// draw shows the line when it is due. The caller holds the lock.
func (p *Progress) draw() {
	if !p.t.o.Progress || p.ended {
		return
	}
	now := p.t.o.Now()
	if now.Sub(p.start) < progressDelay || now.Sub(p.last) < progressPace {
		return
	}
	p.last = now
	_, _ = io.WriteString(p.t.w, "\r\x1b[K"+p.line(now))
	p.t.drawn = true
}

// line returns what fits in one row, so that "\r" finds its beginning again.
func (p *Progress) line(now time.Time) string {
	var b strings.Builder
	b.WriteString(p.label)
	if p.total > 0 {
		done := min(max(p.done, 0), p.total)
		full := done * barWidth / p.total
		fmt.Fprintf(&b, " [%s%s] %d/%d", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done, p.total)
		if left := p.left(now, done); left >= time.Second {
			fmt.Fprintf(&b, ", %s left", left)
		}
	} else {
		fmt.Fprintf(&b, " %d", p.done)
	}
	return cut(b.String(), p.t.o.Width-1)
}

func (p *Progress) left(now time.Time, done int) time.Duration {
	if done == 0 {
		return 0
	}
	spent := now.Sub(p.start)
	return time.Duration(float64(spent) * float64(p.total-done) / float64(done)).Round(time.Second)
}

// cut returns the first n characters of s.
func cut(s string, n int) string {
	if n < 0 {
		return ""
	}
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}
