package journal

import (
	"slices"
	"time"
)

// Window is a time in which a call of a tool may have changed anything.
type Window struct{ From, To int64 } // milliseconds, both included

// Receipts are what sessions say was done.
type Receipts struct {
	Since   int64    // the first line of any session; 0: there is none
	windows []Window // of calls that run programs, and that ended or still run
	cut     []Window // of calls whose end nobody told, and that are over
	left    map[string][]left
	said    map[string]File
}

// left is a file as a call left it.
type left struct {
	at   int64
	file File
}

// open is how long a call that nobody said the end of is taken to run.
const open = 10 * 60 * 1000

// Slack is how much clocks of a file system and of a process may differ, in milliseconds: a kernel stamps files by its last tick.
const Slack = 50

// Receipts puts together what all sessions say, as of a moment.
func (j Journal) Receipts(now time.Time) (Receipts, error) {
	r := Receipts{left: map[string][]left{}, said: map[string]File{}}
	pages, err := j.All()
	if err != nil {
		return r, err
	}
	for _, p := range pages {
		r.add(p.Lines, now.UnixMilli())
	}
	for _, list := range r.left {
		slices.SortStableFunc(list, func(a, b left) int { return int(a.at - b.at) })
	}
	return r, nil
}

// add reads the lines of a session. A call runs from its first line to its last. One whose end nobody told was refused by somebody else, or broken off: it runs only
// until something shows that it is over.
func (r *Receipts) add(lines []Line, now int64) {
	type call struct {
		*Line
		over int64 // when it was shown to be over; 0: it was not
	}
	var calls []call
	for i := range lines {
		l := &lines[i]
		if r.Since == 0 || l.At < r.Since {
			r.Since = l.At
		}
		for _, f := range l.Untold {
			r.said[f.Path] = f
		}
		switch l.State {
		case Invoked:
			calls = append(calls, call{Line: l})
		case Denied, Returned:
			for _, f := range l.Files {
				r.left[f.Path] = append(r.left[f.Path], left{l.At, f})
			}
			for k, c := range slices.Backward(calls) { // not all agents name their calls: then it is the last one that is not over
				if c.Call == l.Call && c.Sub == l.Sub && c.Tool == l.Tool && (c.over == 0 || c.Call != "") {
					if l.State == Returned && c.runs() {
						r.windows = append(r.windows, Window{c.At - Slack, l.At + Slack})
					}
					calls = slices.Delete(calls, k, k+1)
					break
				}
			}
		case Over:
			for k := range calls {
				if c := &calls[k]; c.Sub == l.Sub && c.over == 0 {
					c.over = l.At
				}
			}
		}
	}
	for _, c := range calls {
		switch {
		case !c.runs():
		case c.over == 0:
			r.windows = append(r.windows, Window{c.At - Slack, min(now, c.At+open) + Slack})
		default:
			r.cut = append(r.cut, Window{c.At - Slack, min(c.over, c.At+open) + Slack})
		}
	}
}

// runs reports whether the tool of a call may change what it does not name.
func (l *Line) runs() bool { return l.Kind != "edit" && l.Kind != "read" }

// Left reports whether a call left a file as it is, and none left it otherwise since.
func (r *Receipts) Left(f File) bool {
	list := r.left[f.Path]
	return len(list) > 0 && f.read() && list[len(list)-1].file == f
}

// Once reports whether a call ever left a file so: what is committed may be older than what stands in the work tree.
func (r *Receipts) Once(f File) bool {
	return f.read() && slices.ContainsFunc(r.left[f.Path], func(l left) bool { return l.file == f })
}

// Ran reports whether a call ran at a time that could have changed anything.
func (r *Receipts) Ran(at int64) bool { return within(r.windows, at) }

// Cut reports whether a time is one at which such a call had begun whose end nobody told.
func (r *Receipts) Cut(at int64) bool { return within(r.cut, at) }

func within(list []Window, at int64) bool {
	return slices.ContainsFunc(list, func(w Window) bool { return at >= w.From && at <= w.To })
}

// Said reports whether it is on record that no call tells of a file as it is.
func (r *Receipts) Said(f File) bool { return f.read() && r.said[f.Path] == f }
