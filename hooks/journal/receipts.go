package journal

import (
	"cmp"
	"slices"
	"time"
)

// Window is a time in which a call of a tool may have changed anything.
type Window struct{ From, To int64 } // milliseconds, both included

// Receipts are what sessions say was done.
type Receipts struct {
	Since   int64             // the first line of any session; 0: there is none
	windows []Window          // of calls that run programs, and that ended or still run
	cut     []Window          // of calls whose end nobody told, and that are over
	left    map[string][]File // as calls left them, in order
	said    map[string]word
}

// A word is what was said last of a file of which no call tells, and when.
type word struct {
	File
	at int64
}

// open is how long a call that nobody said the end of is taken to run.
const open = 10 * 60 * 1000

// Slack is how much clocks of a file system and of a process may differ, in milliseconds: a kernel stamps files by its last tick.
const Slack = 50

// A call is the time from its first line to its last.
type call struct {
	*Line
	to int64
	// over is when it was shown to be over that nobody told the end of; 0: it was not.
	over   int64
	passed bool // one that began later has ended
}

// endedBy reports whether a line is the end of a call. Not all agents name their calls: then it is of the last one that it may be of.
func (c *call) endedBy(l *Line) bool {
	return c.Call == l.Call && (c.Call != "" || c.Sub == l.Sub && c.Tool == l.Tool && c.over == 0)
}

// Receipts puts together what all sessions say, as of a moment.
func (j Journal) Receipts(now time.Time) (Receipts, error) {
	r := Receipts{left: map[string][]File{}, said: map[string]word{}}
	pages, err := j.All()
	if err != nil {
		return r, err
	}
	var calls []call
	var ends []*Line
	for _, p := range pages {
		c, e := r.read(p.Lines, now.UnixMilli())
		calls, ends = append(calls, c...), append(ends, e...)
	}
	slices.SortStableFunc(calls, func(a, b call) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(ends, func(a, b *Line) int { return cmp.Compare(a.At, b.At) })
	within := nested(calls)
	for _, c := range calls {
		switch w := (Window{c.At - Slack, c.to + Slack}); {
		case within(c.Line):
		case c.over != 0:
			r.cut = append(r.cut, w)
		default:
			r.windows = append(r.windows, w)
		}
	}
	within = nested(calls)
	for _, l := range ends {
		if !within(l) {
			for _, f := range l.Files {
				r.left[f.Path] = append(r.left[f.Path], f)
			}
		}
	}
	return r, nil
}

// read reads the lines of a session: its calls that may change what they do not name, and the ends of all. A call whose end nobody told was refused by somebody else, or
// broken off: it runs only until something shows that it is over. That is a word of its agent about no call, or the next step of it: a call that begins when one has ended that
// began after it. Where it then ends all the same, it ran until then.
func (r *Receipts) read(lines []Line, now int64) (calls []call, ends []*Line) {
	var running []call
	add := func(c call) {
		if c.Kind != "edit" && c.Kind != "read" {
			calls = append(calls, c)
		}
	}
	for i := range lines {
		l := &lines[i]
		if r.Since == 0 || l.At < r.Since {
			r.Since = l.At
		}
		for _, f := range l.Untold {
			if l.At >= r.said[f.Path].at {
				r.said[f.Path] = word{f, l.At}
			}
		}
		switch l.State {
		case Invoked:
			for k := range running {
				if c := &running[k]; c.Sub == l.Sub && c.passed && c.over == 0 && c.Call != "" {
					c.over = l.At
				}
			}
			running = append(running, call{Line: l})
		case Denied, Returned:
			ends = append(ends, l)
			k := len(running) - 1
			for k >= 0 && !running[k].endedBy(l) {
				k--
			}
			if k < 0 {
				break
			}
			if l.below(running[k].Line) { // it was not the agent that said so
				ends = ends[:len(ends)-1]
				break
			}
			if l.State == Returned {
				add(call{Line: running[k].Line, to: l.At})
				for i := range running[:k] {
					running[i].passed = running[i].passed || running[i].Sub == running[k].Sub
				}
			}
			running = slices.Delete(running, k, k+1)
		case Over:
			for k := range running {
				if c := &running[k]; c.Sub == l.Sub && c.over == 0 {
					c.over = l.At
				}
			}
		}
	}
	for _, c := range running {
		c.to = min(now, c.At+open)
		if c.over != 0 {
			c.to = min(c.over, c.to)
		}
		add(c)
	}
	return calls, ends
}

// nested returns what reports whether a line was said by what a call runs, and not by the agent: that call tells of all that comes of it, and nothing once it ended. Calls are
// in the order in which they began, and so are the lines that it is asked about.
func nested(calls []call) func(*Line) bool {
	var running []call
	return func(l *Line) bool {
		for len(calls) > 0 && calls[0].At <= l.At {
			running, calls = append(running, calls[0]), calls[1:]
		}
		running = slices.DeleteFunc(running, func(c call) bool { return c.to < l.At })
		return slices.ContainsFunc(running, func(c call) bool { return l.below(c.Line) })
	}
}

// below reports whether a line was said further below the process that both were said below: an agent starts all its hooks alike, and what its tools run is deeper.
func (l *Line) below(c *Line) bool {
	for i, p := range l.Above {
		if k := slices.Index(c.Above, p); k >= 0 {
			return i > k
		}
	}
	return false
}

// Left reports whether a call left a file as it is, and none left it otherwise since.
func (r *Receipts) Left(f File) bool {
	list := r.left[f.Path]
	return len(list) > 0 && f.read() && list[len(list)-1] == f
}

// Once reports whether a call ever left a file so: what is committed may be older than what stands in the work tree.
func (r *Receipts) Once(f File) bool {
	return f.read() && slices.Contains(r.left[f.Path], f)
}

// Ran reports whether a call ran at a time that could have changed anything.
func (r *Receipts) Ran(at int64) bool { return within(r.windows, at) }

// Cut reports whether a time is one at which such a call had begun whose end nobody told.
func (r *Receipts) Cut(at int64) bool { return within(r.cut, at) }

func within(list []Window, at int64) bool {
	return slices.ContainsFunc(list, func(w Window) bool { return at >= w.From && at <= w.To })
}

// Said reports whether it is on record that no call tells of a file as it is.
func (r *Receipts) Said(f File) bool { return f.read() && r.said[f.Path].File == f }
