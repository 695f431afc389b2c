package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrFreshness says that the policy wants a fresh checkpoint over all ledgers, and there is none: whether the newest
// entries are here can't be known.
var ErrFreshness = errors.New("freshness unknown: the policy demands a checkpoint (maxCheckpointAge)")

// A ShallowError names the commit at which a shallow clone's history ends. It wraps ErrShallow.
type ShallowError struct{ Commit oid.ID }

func (e *ShallowError) Error() string { return fmt.Sprintf("%v, at %s", ErrShallow, e.Commit.Short()) }

// Unwrap returns ErrShallow.
func (e *ShallowError) Unwrap() error { return ErrShallow }

// Options of Verify.
type Options struct {
	Pin  envelope.Digest
	Deep bool      // hash every object of the range again, and every content digest
	Now  time.Time // when grants are asked

	// Asker decides what a principal may do; nil: the built-in checker, here.
	Asker func(*Root, *capability.Authority) verdict.Asker

	Cache       *Cache // nil: nothing is remembered, and nothing believed
	Opened      *Cache // what is believed of ledgers that were opened before, by who wants to know more of commits than is remembered; nil: Cache
	NewestFirst bool
	Only        map[oid.ID]bool // judge only these commits of the span; nil: all

	// Among says which commits are asked about. It is called when all else of what is remembered is known to hold, once, and no others
	// are looked at then; where nothing is remembered it is not called, and all are judged. nil: all.
	Among func() map[oid.ID]bool

	// History takes a range for what its ref has come past, as who looks back does, and not for what is to come to it: reviews of moves between count.
	History bool
	// Origins tells of commits that were rewritten by who sealed them whose changes they have: [verdict.Result.Made].
	Origins bool

	// AnyAge takes the record as it is where the policy demands a checkpoint that is newer than there is: a warning tells of it. For
	// who only looks.
	AnyAge bool

	// Overlay holds refs as they are proposed to be, as for [LoadProposed].
	Overlay map[string]oid.ID
	// Facts were loaded before, with the same pin and overlay: only the range is read.
	Facts *Facts

	// made is told what commits that no seal of them counts for are made of. Whose that is matters then, and not whether it may come here, by the gate or by who took it back
	// either. nil: nobody asks.
	made func(*Facts, *verdict.Exam)

	limits portLimits // of tests
}

// Report is what Verify found. Results must be consumed once.
type Report struct {
	Facts    *Facts
	Commits  []git.Commit
	Problems []verdict.Finding
	Results  iter.Seq2[verdict.Result, error]
}

// Verify judges every commit of the span, oldest first. Errors are of reading
// only; what is wrong with a commit is in its result.
func Verify(ctx context.Context, s *git.Session, sp Span, o Options) (*Report, error) {
	if o.Opened == nil {
		o.Opened = o.Cache
	}
	if o.Deep {
		o.Opened = nil
	}
	if o.Deep || o.Only != nil || o.Overlay != nil || o.Facts != nil {
		o.Cache = nil
	}
	if r := recall(ctx, s, sp, o); r != nil {
		return r, nil
	}
	facts, commits, before, err := gather(ctx, s, sp, &o)
	if err != nil {
		return nil, err
	}
	if o.Only != nil {
		commits = slices.DeleteFunc(commits, func(c git.Commit) bool { return !o.Only[c.ID] })
	}
	if len(commits) == 0 {
		return nil, ErrEmptyRange
	}
	if o.NewestFirst {
		slices.Reverse(commits)
	}
	shallow, err := s.Repo().Shallow()
	if err != nil {
		return nil, err
	}
	for _, c := range commits {
		if shallow[c.ID] && !before[c.ID] {
			return nil, &ShallowError{c.ID}
		}
	}
	skip := facts.unsealed(commits, shallow, before)
	view, problems, err := facts.view(s, commits, skip)
	if err != nil {
		return nil, err
	}
	deep, err := facts.deep(s, commits, before, skip, o.Deep)
	if errors.Is(err, git.ErrMissing) && s.Repo().Partial() {
		err = fmt.Errorf("%w: %w", ErrPartial, err)
	}
	if err != nil {
		return nil, err
	}
	signers, err := facts.signers(s, commits, skip, view)
	if err != nil {
		return nil, err
	}
	r := &Report{Facts: facts, Commits: commits, Problems: append(facts.Problems, problems...)}
	r.Results = facts.judge(ctx, s, r, sp, o, before, skip, view, deep, signers)
	return r, nil
}

// judge walks the commits with Git's diffs beside them.
func (f *Facts) judge(ctx context.Context, s *git.Session, r *Report, sp Span, o Options,
	before, skip map[oid.ID]bool, view map[oid.ID]seen, deep map[oid.ID][]verdict.Finding, signers map[oid.ID]string,
) iter.Seq2[verdict.Result, error] {
	commits, w := r.Commits, f.World()
	w.Named, w.Work = f.Named, f.works(s)
	if o.Asker != nil {
		w.Authority = o.Asker(f.Root, f.Authority)
	}
	ref, referr := sp.UnderReview(s)
	own := f.own(sp)
	admitted := f.admissions()
	needSizes, needProofs := f.Authority.NeedsSizes(), f.Root.Policy.WantsEvidence()
	return func(yield func(verdict.Result, error) bool) {
		trees, err := f.parentTrees(s, commits)
		if err = errors.Join(err, referr); err != nil {
			yield(verdict.Result{}, err)
			return
		}
		next, stop := iter.Pull2(s.Diffs(treePairs(commits, skip, trees)))
		defer stop()
		var exams, batch []verdict.Exam
		size := 1 // results come as they are found
		if _, ok := w.Authority.(Batcher); ok {
			size = batchOf
		}
		judged := func() bool {
			if err := f.unreadable(); err != nil {
				yield(verdict.Result{}, err)
				return false
			}
			if o.Cache != nil {
				exams = append(exams, batch...)
			}
			for _, r := range judgeAll(batch, w, o.Now) {
				if !yield(r, nil) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		advances, err := f.advances(ctx, s, sp, ref, before, o.History)
		if err != nil {
			yield(verdict.Result{}, err)
			return
		}
		came := touching{}
		der := f.deriver(w, sp, ref, before, &o)
		var old *originals
		if o.Origins {
			old = f.originals(s, w)
		}
		var held []heldExam // from the first commit on that may be derived: that takes a look at all of the history
		whole := true
		ahead := readAhead{}
		for i, c := range commits {
			ahead.read(f, view, commits[i:])
			if ctx.Err() != nil {
				yield(verdict.Result{}, ctx.Err())
				return
			}
			vc := verdict.Commit{
				ID: c.ID, Tree: c.Tree, Parents: c.Parents, Committer: c.Committer.Email, Before: before[c.ID],
				Candidates: view[c.ID].candidates, Notes: view[c.ID].warnings, DeepErrs: deep[c.ID],
				Ref: ref, Side: !own[c.ID] || o.made != nil, Signer: signers[c.ID], Admissions: admitted[c.ID], Denied: f.Denied[c.ID], Advance: advances[c.ID],
			}
			if vc.Based = true; len(c.Parents) > 0 {
				vc.Base = trees[c.Parents[0]]
			}
			if needProofs && !skip[c.ID] {
				vc.Proofs = f.Proofs(c.Tree)
			}
			if !skip[c.ID] {
				for range max(1, len(c.Parents)) {
					list, err, ok := next()
					if !ok {
						yield(verdict.Result{}, errors.New("git diff-tree ended early"))
						return
					}
					if errors.Is(err, git.ErrMissing) && s.Repo().Partial() {
						yield(verdict.Result{}, fmt.Errorf("commit %s: %w: %w", c.ID.Short(), ErrPartial, err))
						return
					}
					if err != nil {
						vc.DiffErr, whole = err, false // it may be mended without a ref moving
					}
					vc.Diffs = append(vc.Diffs, RawChanges(list))
				}
			}
			if vc.Touched = prov.Touched(vc.Diffs); needSizes && !skip[c.ID] {
				if err := sizes(s, vc.Touched, vc.Diffs); err != nil {
					vc.DiffErr, whole = errors.Join(vc.DiffErr, err), false
				}
			}
			if a := vc.Advance; needProofs && a != nil {
				came.add(a.Move, vc.Touched)
				if a.End {
					end := *a
					end.Paths = came.paths(a.Move)
					vc.Advance = &end
				}
			}
			exam := verdict.Examine(w, &vc)
			for i := range exam.Seals {
				exam.Seals[i].Of = f.ofOthers(c.ID, exam.Seals[i].KeyID)
			}
			if old != nil {
				old.of(&vc, &exam)
				whole = whole && !old.missing()
			}
			if open := der.open(&vc, &exam); open || len(held) > 0 {
				h := heldExam{exam: exam}
				if open {
					h.commit, h.diffs = c, vc.Diffs
				}
				held = append(held, h)
				continue
			}
			if batch = append(batch, exam); len(batch) < size {
				continue
			}
			if !judged() {
				return
			}
		}
		if len(held) > 0 {
			stop()
			if !judged() {
				return
			}
			if err := der.prepare(ctx, s, held); err != nil {
				yield(verdict.Result{}, err)
				return
			}
		}
		edges := 0
		for i := range held {
			x := &held[i]
			if ctx.Err() != nil {
				yield(verdict.Result{}, ctx.Err())
				return
			}
			if x.diffs != nil {
				if err := der.derive(s, x); err != nil {
					yield(verdict.Result{}, err)
					return
				}
				if o.made != nil {
					o.made(f, &x.exam)
				}
				if old != nil {
					old.sources(x.exam.Derived, x.diffs[0])
					whole = whole && !old.missing()
				}
				if edges += x.exam.Derived.Weight(); edges > maxKeptEdges && o.Cache != nil {
					exams, whole, o.Cache = nil, false, nil // too much to remember
				}
			}
			whole = whole && !der.waits(&x.exam)
			batch = append(batch, x.exam)
			*x = heldExam{}
			if len(batch) >= size && !judged() {
				return
			}
		}
		if o.limits.taken != nil && der.h != nil {
			o.limits.taken(maxSteps - der.h.steps)
		}
		if !judged() {
			return
		}
		if o.Cache != nil && whole {
			f.remember(s, sp, o, r, exams)
		}
	}
}

// maxKeptEdges is how many edges of derivations are remembered at most.
const maxKeptEdges = 1_000_000

// unsealed returns what is older than governance and is not looked at: what somebody sealed all the same is, where its
// parents are here.
func (f *Facts) unsealed(commits []git.Commit, shallow, before map[oid.ID]bool) map[oid.ID]bool {
	out := maps.Clone(before)
	for _, c := range commits {
		if !shallow[c.ID] && slices.ContainsFunc(f.seals[c.ID], func(x verdict.Candidate) bool { return x.Err == nil }) {
			delete(out, c.ID)
		}
	}
	return out
}

// own returns the commits that were made on the ref under review: its tips and
// their first parents. What a merge brought in was made elsewhere.
func (f *Facts) own(sp Span) map[oid.ID]bool {
	out := map[oid.ID]bool{}
	for _, id := range sp.Tips {
		for !out[id] {
			c, ok := f.commits[id]
			if !ok {
				break
			}
			out[id] = true
			if len(c.Parents) == 0 {
				break
			}
			id = c.Parents[0]
		}
	}
	return out
}

// gather reads root, ledgers and range with one log, and marks what is older than governance.
func gather(ctx context.Context, s *git.Session, sp Span, o *Options) (*Facts, []git.Commit, map[oid.ID]bool, error) {
	var root *Root
	if o.Facts != nil {
		root = o.Facts.Root
	} else {
		var err error
		if root, err = openProposed(s, o.Pin, o.Overlay); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := inForce(s, root, o.Now); err != nil {
		return nil, nil, nil, err
	}
	if err := sp.together(s, root); err != nil {
		return nil, nil, nil, err
	}
	revs := sp.Revs()
	var since []oid.ID
	for _, g := range root.Governed {
		since = append(since, g.Commit)
		revs = append(revs, g.Commit.String())
	}
	var f *Facts
	var err error
	if o.Facts != nil {
		f, err = o.Facts.with(s, revs)
	} else {
		f, err = load(ctx, s, root, revs, o.Overlay, o.Opened)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if warn, ok := ExpiryFinding(root, o.Now); ok {
		f.Problems = append(f.Problems, warn)
	}
	withheld := func(p verdict.Finding) bool { return p.Code == verdict.LedgerWithheld } // what is known to be missing is no for everything
	if f.newest, err = f.freshEnough(o.Now); err != nil && !slices.ContainsFunc(f.Problems, withheld) {
		if !o.AnyAge {
			return nil, nil, nil, err
		}
		o.Cache = nil // it is not for all who ask
		f.problem(CheckpointStale, "", "covenant sync; who may makes one: covenant audit checkpoint", "%v", err)
	}
	return f, f.walk(sp, f.order), f.reach(since), nil
}

// with returns the same facts about other commits.
func (f *Facts) with(s *git.Session, revs []string) (*Facts, error) {
	out := *f
	out.commits, out.order, out.lines = map[oid.ID]git.Commit{}, nil, nil
	for c, err := range s.Log(git.LogQuery{Revs: revs, IgnoreMissing: true}) {
		if err != nil {
			return nil, err
		}
		out.commits[c.ID] = c
		out.order = append(out.order, c.ID)
	}
	return &out, nil
}

// InForce returns why nothing is held to a root at a moment: it has expired, or a remote has another successor for it.
func InForce(s *git.Session, root *Root, now time.Time) error { return inForce(s, root, now) }

// inForce refuses a root that has expired, and one that a remote has another successor for.
func inForce(s *git.Session, root *Root, now time.Time) error {
	err := root.Expired(now)
	if err == nil {
		err = Rivals(s, root)
	}
	if err != nil {
		return &RootError{Pinned: root.Pin(), Found: root.Digest, Err: err}
	}
	return nil
}

// fetchedRoots reports whether roots of remotes may be here, without a child to ask.
func fetchedRoots(r *git.Repo) bool {
	dir := filepath.FromSlash(strings.TrimSuffix(RemotePrefix, "/"))
	if _, err := os.Stat(filepath.Join(r.CommonDir(), dir)); err == nil {
		return true
	}
	if _, err := os.Stat(filepath.Join(r.CommonDir(), "reftable")); err == nil {
		return true
	}
	b, err := os.ReadFile(filepath.Join(r.CommonDir(), "packed-refs"))
	return err == nil && bytes.Contains(b, []byte(RemotePrefix))
}

// parentTrees returns the trees of all parents, also of those outside the range.
func (f *Facts) parentTrees(s *git.Session, commits []git.Commit) (map[oid.ID]oid.ID, error) {
	trees := map[oid.ID]oid.ID{}
	var outside []oid.ID
	for _, c := range commits {
		for _, p := range c.Parents {
			if _, known := trees[p]; known {
				continue
			}
			if pc, ok := f.commits[p]; ok {
				trees[p] = pc.Tree
				continue
			}
			trees[p] = oid.ID{}
			outside = append(outside, p)
		}
	}
	i := 0
	for c, err := range s.Commits(names(outside)) {
		if i >= len(outside) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("parent %s: %w", outside[i].Short(), err)
		}
		trees[outside[i]] = c.Tree
		i++
	}
	return trees, nil
}

func names(ids []oid.ID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, id := range ids {
			if !yield(id.String()) {
				return
			}
		}
	}
}

func treePairs(commits []git.Commit, skip map[oid.ID]bool, trees map[oid.ID]oid.ID) iter.Seq[git.TreePair] {
	return func(yield func(git.TreePair) bool) {
		for _, c := range commits {
			if skip[c.ID] {
				continue
			}
			if len(c.Parents) == 0 && !yield(git.TreePair{New: c.Tree}) {
				return
			}
			for _, p := range c.Parents {
				if !yield(git.TreePair{Old: trees[p], New: c.Tree}) {
					return
				}
			}
		}
	}
}

// RawChanges returns a diff in the form that statements are held to.
func RawChanges(list []git.Change) []prov.Raw {
	out := make([]prov.Raw, len(list))
	for i, c := range list {
		out[i] = prov.Raw{Path: c.Path, Status: c.Status, OldMode: modeText(c.OldMode), NewMode: modeText(c.NewMode), Old: c.Old, New: c.New}
	}
	return out
}

func modeText(m git.Mode) string {
	if m == 0 {
		return ""
	}
	return m.String()
}
