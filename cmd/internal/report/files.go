package report

import (
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// A change tells who changed a path last, and by what right.
type change struct {
	path, commit, who, authority, proof string
	tip                                 bool // it is of the one commit that was asked about
}

// lastChanges finds the last change of each path.
type lastChanges struct {
	at   map[string]int
	rows []change
	tip  string // the one commit that was asked about; "" where they are several
	base []string
	end  change // of the tip: what was run on its tree is about all files that are in it, and so are reviews of all that was asked about
}

func newLastChanges(run Run) lastChanges {
	l := lastChanges{at: map[string]int{}, base: run.Except}
	if len(run.Tips) == 1 {
		l.tip = run.Tips[0].Commit
	}
	return l
}

func (l *lastChanges) add(c Commit) {
	if c.Verdict == verdict.Before {
		return
	}
	p := paths(c)
	tip := c.Result.Commit.String() == l.tip
	if tip {
		whole := c
		whole.Reviews = slices.DeleteFunc(slices.Clone(c.Reviews), func(r Review) bool { return !slices.Contains(l.base, r.Base) })
		l.end = change{commit: short(c), proof: proof(whole)}
	}
	for _, path := range c.Paths {
		x := p.change(c, path)
		x.tip = tip
		if i, ok := l.at[path]; ok {
			if x.who != nobody { // else whoever made it last did so on one of the sides
				l.rows[i] = x
			}
			continue
		}
		l.at[path] = len(l.rows)
		l.rows = append(l.rows, x)
	}
}

func (l *lastChanges) list() []change {
	out := slices.Clone(l.rows)
	for i := range out {
		x := &out[i]
		switch {
		case l.end.proof == "" || x.tip:
		case x.proof == "":
			x.proof = "at " + l.end.commit + ": " + l.end.proof
		default:
			x.proof += "; at " + l.end.commit + ": " + l.end.proof
		}
	}
	return out
}

// nobody made a path of a derived merge that has what joining its sides gives.
const nobody = "nobody: what joining its sides gives"

// byPath has who made the paths of a commit, and, of a derived one, by what right.
type byPath struct {
	shares    map[string]*verdict.Share
	authority map[string][]string
	proof     string
}

func paths(c Commit) byPath {
	p := byPath{shares: map[string]*verdict.Share{}, authority: map[string][]string{}, proof: proof(c)}
	if len(c.Paths) == 0 {
		return p
	}
	shares := c.Shares()
	for i := range shares {
		p.shares[shares[i].Path] = &shares[i]
	}
	if c.Verdict != verdict.Derived {
		return p
	}
	for i := range c.Covers {
		right := covered(c, i)
		for _, path := range c.Covers[i].Paths {
			if !slices.Contains(p.authority[path], right) {
				p.authority[path] = append(p.authority[path], right)
			}
		}
	}
	return p
}

func (p *byPath) change(c Commit, path string) change {
	x := change{path: path, commit: short(c), authority: authority(c), proof: p.proof}
	share := p.shares[path]
	switch {
	case share != nil:
		var rewrote []verdict.Principal
		if share.Rewrote != nil {
			rewrote = []verdict.Principal{*share.Rewrote}
		}
		x.who = signed(c.Result, named(share.By, who), rewrote, called)
	case c.Verdict == verdict.Derived:
		x.who = nobody
		return x
	case c.Principal != nil:
		x.who = who(c.Principal)
	default:
		x.who = "nobody known here"
	}
	if rights := p.authority[path]; len(rights) > 0 {
		x.authority = strings.Join(rights, "; ")
	}
	return x
}
