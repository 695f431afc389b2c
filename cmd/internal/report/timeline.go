package report

import (
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/git/audit"
)

// A class is what sort of thing a mark of the timeline stands for.
type class int

const (
	seals class = iota
	decisions
	grants
	tools
	others
	classes
)

var classNames = [classes]string{"commits", "decisions", "grants", "tool calls", "other"}

func classOf(kind string) class {
	switch {
	case kind == audit.Seal:
		return seals
	case decides(kind):
		return decisions
	case strings.HasPrefix(kind, "capability."):
		return grants
	case strings.HasPrefix(kind, "tool_"):
		return tools
	}
	return others
}

// Sizes of a timeline.
const (
	maxLanes   = 20
	maxBuckets = 96
	maxPeriods = 16 // of the table that says the same
)

// A Timeline is how much happened when, in steps of equal length. Whatever there is to show, it has at most maxLanes
// lanes of maxBuckets marks for each kind.
type Timeline struct {
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Seconds int64  `json:"seconds"` // a step: a power of two
	Lanes   []Lane `json:"lanes"`

	from, to int64
	shift    uint // Seconds is 1<<shift
}

// A Lane is what happened with one principal, or with all that have no lane of their own.
type Lane struct {
	Principal string `json:"principal,omitempty"`
	Others    int    `json:"others,omitempty"` // how many principals it stands for
	Marks     []Mark `json:"marks"`            // in order of time, then of kind
}

// A Mark counts what happened in one step.
type Mark struct {
	Time  string `json:"time"` // when the step begins
	Kind  string `json:"kind"`
	OK    int    `json:"ok"`
	NotOK int    `json:"notOk"` // denied or failed

	step  int64
	class class
}

// A series counts what happened in steps of a power of two seconds. The steps begin at multiples of their length, so
// making them longer adds up whole ones, and the same records give the same series in whatever order they come. The
// zero value is ready.
type series struct {
	shift uint  // a step is 1<<shift seconds
	base  int64 // number of the first step
	steps [][classes][2]int
}

func (s *series) add(at int64, c class, bad bool) {
	which := 0
	if bad {
		which = 1
	}
	for {
		step := at >> s.shift
		if len(s.steps) == 0 {
			s.base, s.steps = step, make([][classes][2]int, 1)
		}
		low, high := min(step, s.base), max(step, s.base+int64(len(s.steps))-1)
		if high-low >= maxBuckets {
			s.coarsen(s.shift + 1)
			continue
		}
		for s.base > low {
			s.steps = slices.Insert(s.steps, 0, make([][classes][2]int, s.base-low)...)
			s.base = low
		}
		if n := high - low + 1 - int64(len(s.steps)); n > 0 {
			s.steps = append(s.steps, make([][classes][2]int, n)...)
		}
		s.steps[step-s.base][c][which]++
		return
	}
}

// coarsen makes the steps at least 1<<shift seconds long.
func (s *series) coarsen(shift uint) {
	if shift <= s.shift || len(s.steps) == 0 {
		s.shift = max(s.shift, shift)
		return
	}
	by := shift - s.shift
	first := s.base >> by
	out := make([][classes][2]int, ((s.base+int64(len(s.steps))-1)>>by)-first+1)
	for i := range s.steps {
		plus(&out[((s.base+int64(i))>>by)-first], &s.steps[i])
	}
	s.shift, s.base, s.steps = shift, first, out
}

func plus(a, b *[classes][2]int) {
	for c := range b {
		a[c][0] += b[c][0]
		a[c][1] += b[c][1]
	}
}

// timeline draws up to maxLanes lanes, the first people's and one for all others.
func timeline(people []*person, since, until, first, last time.Time) Timeline {
	people = slices.DeleteFunc(slices.Clone(people), func(p *person) bool { return p.Records == 0 })
	if first.IsZero() {
		return Timeline{Lanes: []Lane{}}
	}
	if since.IsZero() {
		since = first
	}
	if until.IsZero() {
		until = last
	}
	t := Timeline{From: stamp(since), To: stamp(until), from: since.Unix(), to: until.Unix(), Lanes: []Lane{}}
	for (t.to>>t.shift)-(t.from>>t.shift) >= maxBuckets {
		t.shift++
	}
	t.Seconds = int64(1) << t.shift
	own := people
	if len(people) > maxLanes {
		own = people[:maxLanes-1]
	}
	for _, p := range own {
		p.marks.coarsen(t.shift)
		t.Lanes = append(t.Lanes, Lane{Principal: p.Principal, Marks: p.marks.list()})
	}
	if rest := people[len(own):]; len(rest) > 0 {
		sum := series{shift: t.shift, base: t.from >> t.shift, steps: make([][classes][2]int, maxBuckets)}
		for _, p := range rest {
			p.marks.coarsen(t.shift)
			for i := range p.marks.steps {
				plus(&sum.steps[p.marks.base+int64(i)-sum.base], &p.marks.steps[i])
			}
		}
		t.Lanes = append(t.Lanes, Lane{Others: len(rest), Marks: sum.list()})
	}
	return t
}

func (s *series) list() []Mark {
	out := []Mark{}
	for i := range s.steps {
		for c, n := range s.steps[i] {
			if n[0]+n[1] > 0 {
				step := s.base + int64(i)
				out = append(out, Mark{Time: stamp(time.Unix(step<<s.shift, 0)), Kind: classNames[c], OK: n[0], NotOK: n[1], step: step, class: class(c)})
			}
		}
	}
	return out
}

// A period is a line of the table that says what the timeline shows.
type period struct {
	from, to time.Time // to is not in it
	kinds    [classes]int
	notOK    int
}

// periods adds up the steps of all lanes to at most maxPeriods, and leaves out those in which nothing happened.
func (t *Timeline) periods() []period {
	by := t.shift
	for t.Seconds > 0 && (t.to>>by)-(t.from>>by) >= maxPeriods {
		by++
	}
	sums := map[int64]*period{}
	for i := range t.Lanes {
		for _, m := range t.Lanes[i].Marks {
			n := m.step >> (by - t.shift)
			p := sums[n]
			if p == nil {
				p = &period{from: time.Unix(n<<by, 0), to: time.Unix((n+1)<<by, 0)}
				sums[n] = p
			}
			p.kinds[m.class] += m.OK + m.NotOK
			p.notOK += m.NotOK
		}
	}
	var out []period
	for _, p := range sums {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b period) int { return a.from.Compare(b.from) })
	return out
}

// name is what people call a lane.
func (l *Lane) name() string {
	if l.Others > 0 {
		return say.Count(l.Others, "other")
	}
	return l.Principal
}
