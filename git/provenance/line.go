package provenance

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Head is where a ref is.
type Head struct {
	Ref    string // as policy knows it: of a remote-tracking branch, the branch at the remote
	Here   string // as it is called in this clone
	ID     oid.ID // zero when there is none
	Commit oid.ID // what ID peels to; zero when that is no commit
}

// HeadOf reads where a ref of this clone is.
func HeadOf(s *git.Session, ref string) (Head, error) { return headOf(s, ref, ref) }

func headOf(s *git.Session, here, ref string) (Head, error) {
	h := Head{Ref: ref, Here: here}
	refs, err := s.Tips(here)
	if err != nil {
		return h, err
	}
	i := slices.IndexFunc(refs, func(r git.Ref) bool { return r.Name == here })
	if i < 0 {
		return h, nil
	}
	h.ID = refs[i].ID
	if c, err := s.Commit(h.ID.String() + "^{commit}"); err == nil {
		h.Commit = c.ID
	}
	return h, nil
}

// Head returns the ref under review and where it is; false when the span is
// no whole history of one ref, so that there is nothing to say of a ref.
func (sp Span) Head(s *git.Session) (Head, bool, error) {
	if sp.Ranged || len(sp.Tips) != 1 || len(sp.Names) != 1 {
		return Head{}, false, nil
	}
	if _, rest, err := named(s, sp.Names[0]); err != nil || rest != "" {
		return Head{}, false, err
	}
	here, ref, err := sp.underReview(s)
	if err != nil || here == "" || ref == "" {
		return Head{}, false, err
	}
	o, err := s.Object(here, 1<<20) // through the child that is there
	if err != nil {
		return Head{}, false, err
	}
	return Head{Ref: ref, Here: here, ID: o.ID, Commit: sp.Tips[0]}, true, nil
}

// LoadRefs is Load with the histories of refs, for [Facts.RefState].
func LoadRefs(ctx context.Context, s *git.Session, pin envelope.Digest, heads []Head) (*Facts, error) {
	return (*Cache)(nil).LoadRefs(ctx, s, pin, heads)
}

// LoadRefs is the function of that name, and opens of the ledgers no more than what is new. A nil cache remembers nothing.
func (c *Cache) LoadRefs(ctx context.Context, s *git.Session, pin envelope.Digest, heads []Head) (*Facts, error) {
	root, err := c.OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	var revs []string
	for _, h := range heads {
		if !h.Commit.IsZero() {
			revs = append(revs, h.Commit.String())
		}
	}
	var since []oid.ID
	for _, g := range root.Governed {
		since = append(since, g.Commit)
		revs = append(revs, g.Commit.String())
	}
	f, err := load(ctx, s, root, revs, nil, c)
	if err != nil {
		return nil, err
	}
	shallow, err := s.Repo().Shallow()
	if err != nil || len(shallow) == 0 {
		return f, err
	}
	before := f.reach(since)
	for _, id := range f.order {
		if shallow[id] && !before[id] {
			return nil, &ShallowError{id}
		}
	}
	return f, nil
}

// Line returns the admissions of a ref. Whether one goes forward is told by the
// histories that the facts were loaded with: what went to a commit outside of them
// counts as forward, since who comes back from there must be allowed to rewind.
func (f *Facts) Line(ref string) *verdict.Line {
	if l := f.lines[ref]; l != nil {
		return l
	}
	l := &verdict.Line{Ref: ref, Since: f.since(ref)}
	known := map[envelope.Digest]bool{}
	for _, v := range f.Root.Versions {
		known[v.ID] = true
	}
	whole := f.Root.Versions[0].Version == 1 // else older ones, which the pin vouches for, were not read
	ledgers := map[string]bool{}
	for i := range f.Admitted {
		a := &f.Admitted[i]
		if a.Ref != ref {
			continue
		}
		ledgers[a.Ledger] = true
		step := verdict.Step{
			ID: a.ID, KeyID: a.KeyID, Ledger: a.Ledger, Seq: a.Seq, Time: a.Time, Old: a.Old, New: a.New, Root: a.Root,
			Unknown: whole && !known[a.Root],
		}
		step.Seen, _ = f.seenBy(a.Ledger, int(a.Seq)-1) //nolint:gosec // bounded by envelope.Header.Check
		l.Steps = append(l.Steps, step)
	}
	pos := f.positions(len(l.Steps) > 0)
	for i := range l.Steps {
		s := &l.Steps[i]
		s.Action = admits(ref, s.Old, s.New, !f.admits(s.KeyID) || f.forward(pos, s.Old, s.New))
	}
	f.sights(l, ledgers)
	if f.lines == nil {
		f.lines = map[string]*verdict.Line{}
	}
	f.lines[ref] = l
	return l
}

// admits reports whether a key could admit anything: of one that can't no history is
// walked, since whatever it wrote is refused.
func (f *Facts) admits(keyID string) bool {
	return f.Authority.MayEver(keyID, admitting...)
}

// since returns where governance of a ref began: of its own name, else of a branch fetched from a remote.
func (f *Facts) since(ref string) []oid.ID {
	var own, tracked []oid.ID
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	for _, g := range f.Root.Governed {
		rest, tracking := strings.CutPrefix(g.Ref, "refs/remotes/")
		_, at, _ := strings.Cut(rest, "/")
		switch {
		case g.Ref == ref:
			own = append(own, g.Commit)
		case tracking && isBranch && at == branch && !slices.Contains(tracked, g.Commit):
			tracked = append(tracked, g.Commit)
		}
	}
	if len(own) > 0 {
		return own
	}
	return tracked
}

// positions returns the place of each commit in an order of parents before children.
func (f *Facts) positions(want bool) map[oid.ID]int {
	if !want {
		return nil
	}
	pos := make(map[oid.ID]int, len(f.order))
	for i, id := range f.order {
		pos[id] = i
	}
	return pos
}

// forward reports whether a commit has another among its ancestors, or is not known here.
func (f *Facts) forward(pos map[oid.ID]int, from, to oid.ID) bool {
	if _, ok := f.commits[to]; !ok {
		return true
	}
	least, ok := pos[from]
	if !ok {
		return false
	}
	seen := map[oid.ID]bool{}
	todo := []oid.ID{to}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if id == from {
			return true
		}
		if at, ok := pos[id]; !ok || at < least || seen[id] {
			continue
		}
		seen[id] = true
		todo = append(todo, f.commits[id].Parents...)
	}
	return false
}

// sights fills in how far the writer of each step had seen the line's other ledgers.
func (f *Facts) sights(l *verdict.Line, ledgers map[string]bool) {
	if len(ledgers) < 2 {
		return
	}
	w := verdict.World{Chains: f.Chains}
	at := map[string][]*verdict.Step{} // ledger → steps, in the order of the chain
	for i := range l.Steps {
		s := &l.Steps[i]
		at[s.Ledger] = append(at[s.Ledger], s)
	}
	for name, steps := range at {
		slices.SortFunc(steps, func(a, b *verdict.Step) int { return int(a.Seq) - int(b.Seq) }) //nolint:gosec // bounded by envelope.Header.Check
		saw := map[string]uint64{}
		next := 0
		for _, e := range f.Chains[name].Entries {
			for _, h := range e.Header.Heads {
				if id, ok := w.At(h.Ledger, h.Seq); ledgers[h.Ledger] && ok && id == h.ID {
					saw[h.Ledger] = max(saw[h.Ledger], h.Seq)
				}
			}
			for ; next < len(steps) && steps[next].Seq <= e.Header.Seq; next++ {
				if len(saw) == 0 {
					continue
				}
				steps[next].Saw = make(map[string]uint64, len(saw))
				for k, v := range saw {
					steps[next].Saw[k] = v
				}
			}
		}
	}
}

// RefState judges the line of admissions of a ref: whether it is where its newest
// admission put it. It is a pure function of the facts. ask is who decides; nil: the built-in checker, here.
func (f *Facts) RefState(h Head, now time.Time, ask verdict.Asker) verdict.RefState {
	w := f.World()
	if ask != nil {
		w.Authority = ask
	}
	var out verdict.RefState
	together(w, func(w *verdict.World) { out = f.Line(h.Ref).Judge(w, h.ID, h.Commit, now) })
	return out
}
