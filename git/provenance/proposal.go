package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrTarget says that it is not known which ref a change is for.
var ErrTarget = errors.New("which ref is the change for?")

// A TargetError names the refs that it could be. It wraps ErrTarget.
type TargetError struct{ Refs []string }

func (e *TargetError) Error() string {
	if len(e.Refs) == 0 {
		return ErrTarget.Error() + " The policy protects none that is here"
	}
	return fmt.Sprintf("%v The policy protects %s", ErrTarget, strings.Join(e.Refs, ", "))
}

// Unwrap returns ErrTarget.
func (e *TargetError) Unwrap() error { return ErrTarget }

// ErrNoChange says that there is nothing to review.
var ErrNoChange = errors.New("there is no change to review")

// Proposal is a change that is to reach a ref, or did.
type Proposal struct {
	Ref  string     // full name, as it is at the remote
	Base git.Commit // zero where the change is the first of all
	Head git.Commit

	between []git.Commit // what the head has more than its base, of a long change the newest; nil: that was not asked
}

// Range writes the change as git-rev-list(1) takes it.
func (p *Proposal) Range() string {
	if p.Base.ID.IsZero() {
		return p.Head.ID.String()
	}
	return p.Base.ID.String() + ".." + p.Head.ID.String()
}

// Propose finds out what change is meant: A..B, from where B left A, or REV, from where it left the ref that it is for; a tree stands for the newest commit
// of a branch that has it. That is ref;
// without one the branch that A names, else the one that the policy protects.
func (f *Facts) Propose(ctx context.Context, s *git.Session, ref, rev string) (*Proposal, error) {
	sp, err := ParseSpan(s, rev)
	if errors.Is(err, ErrRevision) {
		if id, ok := withTree(s, rev); ok {
			sp, err = Span{Tips: []oid.ID{id}, Names: []string{id.String()}}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if len(sp.Tips) != 1 {
		return nil, fmt.Errorf("%w: %q names no commit", ErrRevision, rev)
	}
	p := &Proposal{}
	if p.Ref, err = Meant(s, ref); err != nil {
		return nil, err
	}
	if p.Head, err = s.Commit(sp.Tips[0].String()); err != nil {
		return nil, err
	}
	from, _, ranged := strings.Cut(rev, "..")
	if p.Ref == "" && ranged && from != "" {
		if _, r, err := reviewed(s, from); err == nil {
			p.Ref = r
		}
	}
	if p.Ref == "" {
		if p.Ref, err = f.target(s); err != nil {
			return nil, err
		}
	}
	var places []oid.ID
	if ranged {
		places = sp.Except
	} else if places, err = f.places(ctx, s, p); err != nil {
		return nil, err
	}
	base := oid.ID{}
	for _, at := range places {
		id := at
		line := straight(s, &p.Head, at)
		if line == nil {
			list := make(chan []git.Commit, 1)
			go func() { // what the head has more is what it has more than their base, but for odd histories
				list <- newest(s, git.LogQuery{Revs: []string{p.Head.ID.String(), "^" + at.String()}}, maxProposed)
			}()
			id, err = mergeBase(ctx, s, at, p.Head.ID)
			if line = <-list; err != nil {
				return nil, err
			}
		}
		if id.IsZero() || id == p.Head.ID {
			continue
		}
		if !base.IsZero() {
			if on, err := Forward(ctx, s, base, id); err != nil || !on {
				continue
			}
		}
		base, p.between = id, line // the nearest of them
	}
	switch {
	case base.IsZero() && ranged:
		return nil, fmt.Errorf("%w: %s has nothing that %s has not", ErrNoChange, p.Head.ID.Short(), from)
	case base.IsZero() && len(p.Head.Parents) > 0:
		base = p.Head.Parents[0]
	}
	if !base.IsZero() {
		if p.Base, err = s.Commit(base.String()); err != nil {
			return nil, err
		}
	}
	if p.Base.Tree == p.Head.Tree {
		return nil, fmt.Errorf("%w: %s has the same tree as %s", ErrNoChange, p.Head.ID.Short(), p.Base.ID.Short())
	}
	return p, nil
}

// maxTree is how large the object of a tree may be that is named.
const maxTree = 64 << 20

// withTree finds the newest commit of the branches, here and of remotes, that has the tree which a name means; false where it means none, or none has it.
func withTree(s *git.Session, name string) (found oid.ID, ok bool) {
	o, err := s.Object(name, maxTree)
	if err != nil || o.Kind != "tree" {
		return found, false
	}
	for _, c := range newest(s, git.LogQuery{Revs: []string{"HEAD"}, Globs: []string{"refs/heads/*", "refs/remotes/*"}, IgnoreMissing: true}, maxWithTree) {
		if c.Tree == o.ID {
			found, ok = c.ID, true // they come oldest first
		}
	}
	return found, ok
}

// maxWithTree is how many commits are looked at for a tree.
const maxWithTree = 20_000

// target is the one ref that the policy protects, of those that are here or at remotes.
func (f *Facts) target(s *git.Session) (string, error) {
	refs, err := s.Tips("refs/heads/", "refs/remotes/")
	if err != nil {
		return "", err
	}
	var found []string
	for _, r := range refs {
		name := r.Name
		if rest, tracking := strings.CutPrefix(name, "refs/remotes/"); tracking {
			_, branch, _ := strings.Cut(rest, "/")
			name = "refs/heads/" + branch
		}
		if f.Root.Policy.Protects(name) && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		slices.Sort(found)
		return "", &TargetError{found}
	}
	return found[0], nil
}

// maxBack is how far back it is looked for where a ref was admitted to be.
const maxBack = "5000"

// places are where a ref is, as far as is known: admitted, at remotes, and here.
func (f *Facts) places(ctx context.Context, s *git.Session, p *Proposal) ([]oid.ID, error) {
	var out []oid.ID
	admitted := map[oid.ID]bool{}
	w := f.World()
	line := f.Line(p.Ref)
	for i := range line.Steps {
		step := &line.Steps[i]
		if when, known := f.moment(step); known && step.Refusal(w, p.Ref, when) == "" {
			admitted[step.New] = true
		}
	}
	for _, id := range f.since(p.Ref) {
		admitted[id] = true
	}
	if len(admitted) > 0 {
		list, err := s.Repo().Run(ctx, nil, "rev-list", "--max-count="+maxBack, p.Head.ID.String())
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(list)) {
			if id, err := oid.Parse(strings.TrimSpace(line)); err == nil && admitted[id] && id != p.Head.ID {
				out = append(out, id)
				break
			}
		}
	}
	branch, isBranch := strings.CutPrefix(p.Ref, "refs/heads/")
	ask := []string{p.Ref}
	if isBranch { // another remote's branch of that name is anybody's
		remote, ok := s.Repo().Config().Get("branch." + branch + ".remote")
		if !ok {
			remote = "origin"
		}
		ask = append(ask, "refs/remotes/"+remote+"/"+branch)
	}
	refs, err := s.Tips(ask...)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		if slices.Contains(ask, r.Name) {
			out = append(out, r.ID)
		}
	}
	return out, nil
}

// mergeBase returns the best common ancestor of two commits, zero where there is none.
func mergeBase(ctx context.Context, s *git.Session, a, b oid.ID) (oid.ID, error) {
	out, err := s.Repo().Run(ctx, nil, "merge-base", a.String(), b.String())
	var failed *git.CommandError
	if errors.As(err, &failed) && failed.Code == 1 {
		return oid.ID{}, nil
	}
	if err != nil {
		return oid.ID{}, err
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return oid.Parse(first)
}

// maxStraight is how many commits are read one by one before Git is asked.
const maxStraight = 64

// straight returns the commits from a head down to one that it goes on from, which is left out, where each has one parent; nil where
// that is not found so.
func straight(s *git.Session, head *git.Commit, to oid.ID) []git.Commit {
	var out []git.Commit
	for c := *head; len(out) < maxStraight && len(c.Parents) == 1; {
		if out = append(out, c); c.Parents[0] == to {
			return out
		}
		var err error
		if c, err = s.Commit(c.Parents[0].String()); err != nil {
			return nil
		}
	}
	return nil
}

// Commits are those of the change, in no order, and of a long one the newest.
func (p *Proposal) Commits(s *git.Session) ([]git.Commit, error) {
	if p.between != nil {
		return p.between, nil
	}
	sp, err := ParseSpan(s, p.Range())
	if err != nil {
		return nil, err
	}
	return newest(s, git.LogQuery{Revs: sp.Revs()}, maxProposed), nil
}

// newest are the newest commits that Git finds, as far as it does.
func newest(s *git.Session, q git.LogQuery, most int) []git.Commit {
	q.Max = most
	var out []git.Commit
	for c, err := range s.Log(q) {
		if err != nil {
			return nil
		}
		out = append(out, c)
	}
	return out
}

// maxProposed is how many commits of a change are looked at.
const maxProposed = 1000

// FindReview finds a review by the beginning of its id, with or without "sha256:".
func (f *Facts) FindReview(what string) (*Review, error) {
	var found []*Review
	for i := range f.Reviews {
		if f.Reviews[i].ID.Begins(what) {
			found = append(found, &f.Reviews[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: %q", ErrNoReview, what)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%w: %q begins the id of %d", ErrNoReview, what, len(found))
}

// ErrNoReview says that there is no review of that id.
var ErrNoReview = errors.New("no such review is here")
