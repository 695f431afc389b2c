package hooks

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// here is what is on the server before the push.
type here struct{ all, protected []oid.ID }

// code judges branches, tags and whatever else the policy protects.
func (p *pushed) code(ctx context.Context) error {
	var at *here
	for _, m := range inOrder(p.moves, p.facts.Root) {
		protected := p.facts.Root.Policy.Protects(m.ref)
		isTag := strings.HasPrefix(m.ref, "refs/tags/")
		if !protected && !isTag && !strings.HasPrefix(m.ref, "refs/heads/") {
			continue
		}
		if at == nil {
			var err error
			if at, err = p.look(); err != nil {
				return err
			}
		}
		if protected {
			if err := p.mayMove(ctx, m); err != nil {
				return err
			}
		}
		if err := p.verify(ctx, m, at, protected); err != nil {
			return err
		}
		if c, err := p.s.Commit(m.new.String() + "^{commit}"); !m.new.IsZero() && err == nil {
			at.all = append(at.all, c.ID) // it was judged
		}
	}
	return nil
}

// inOrder are the refs of a push as they are judged, those first on which all that they have is, tags last: what comes with one is not judged
// again with others.
func inOrder(moves []move, root *provenance.Root) []move {
	rank := func(m move) int {
		switch {
		case strict(root, m.ref):
			return 0
		case strings.HasPrefix(m.ref, "refs/tags/"):
			return 2
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(moves), func(a, b move) int { return rank(a) - rank(b) })
}

// strict reports whether a ref is protected, or was there when governance began.
func strict(root *provenance.Root, ref string) bool {
	return root.Policy.Protects(ref) || slices.ContainsFunc(root.Governed, func(g trust.Since) bool { return g.Ref == ref })
}

// look finds the commits of branches and tags that are here.
func (p *pushed) look() (*here, error) {
	refs, err := p.s.Refs("refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	at := &here{}
	for _, r := range refs {
		id := r.ID
		if r.Kind != "commit" {
			c, err := p.s.Commit(id.String() + "^{commit}")
			if err != nil {
				continue // of a tree or a blob
			}
			id = c.ID
		}
		at.all = append(at.all, id)
		if p.facts.Root.Policy.Protects(r.Name) {
			at.protected = append(at.protected, id)
		}
	}
	return at, nil
}

// verify judges the commits that a ref would get. On a protected ref what other
// branches have counts for nothing: it was judged for those.
func (p *pushed) verify(ctx context.Context, m move, at *here, protected bool) error {
	if m.new.IsZero() {
		return nil
	}
	tip, err := p.s.Commit(m.new.String() + "^{commit}")
	if errors.Is(err, git.ErrMissing) {
		return nil // a tag of a tree or a blob brings no commits
	}
	if err != nil {
		return err
	}
	var elsewhere []oid.ID
	if !protected {
		elsewhere = slices.Clone(at.all)
	}
	sp, err := m.span(ctx, p.s, tip.ID, elsewhere)
	if err != nil {
		return err
	}
	if len(sp.Except) == 0 {
		sp.Except = append(sp.Except, at.protected...)
	}
	err = provenance.Verified(ctx, p.s, sp, provenance.Options{
		Pin: p.pin, Now: p.in.Now(), Overlay: p.overlay, Facts: p.facts, Asker: p.in.askers(p.s.Repo()),
	})
	var all *provenance.CondemnedError
	if errors.As(err, &all) {
		p.refuse(m.ref, "who has it sends it: covenant sync; until then nothing here can be judged", "%v", all)
		return nil
	}
	var bad *provenance.UnverifiedError
	if !errors.As(err, &bad) {
		return err
	}
	for _, r := range bad.Results {
		if len(r.Findings) == 0 {
			r.Findings = []verdict.Finding{{Code: verdict.SealMissing, Message: string(r.Verdict)}}
		}
		for _, f := range r.Findings[:min(len(r.Findings), maxOfCommit)] {
			what := f.Message
			if f.Path != "" {
				what = strconv.Quote(f.Path) + ": " + what
			}
			p.refuse(m.ref, p.advice(f.Code, r.Commit), "commit %s: %s: %s", r.Commit.Short(), f.Code, what)
		}
	}
	p.more += bad.Failed - len(bad.Results)
	return nil
}

// span is what a ref would get: what it leads to and has not, and nothing of what is elsewhere. What a branch has that goes back, or to another
// place, it has no more.
func (m *move) span(ctx context.Context, s *git.Session, tip oid.ID, elsewhere []oid.ID) (provenance.Span, error) {
	sp := provenance.Span{Tips: []oid.ID{tip}, Ranged: true, Ref: m.ref, Except: elsewhere, Apart: elsewhere}
	if m.old.IsZero() {
		return sp, nil
	}
	old, err := s.Commit(m.old.String() + "^{commit}")
	if err != nil {
		return sp, nil //nolint:nilerr // it is not here, or no commit
	}
	sp.Except = append(slices.Clone(elsewhere), old.ID)
	if len(elsewhere) == 0 {
		return sp, nil
	}
	forward, err := provenance.Forward(ctx, s, old.ID, tip)
	if forward {
		sp.Apart = slices.DeleteFunc(slices.Clone(elsewhere), func(id oid.ID) bool { return id == old.ID })
	} else {
		sp.Apart = sp.Except
	}
	return sp, err
}

// advice says what who pushes can do about a finding.
func (p *pushed) advice(code verdict.Code, commit oid.ID) string {
	const push = "covenant sync --yes"
	sent := slices.ContainsFunc(p.moves, func(m move) bool { return strings.HasPrefix(m.ref, ledger.Prefix) })
	switch code {
	case verdict.LedgerRolledBack:
		return "a ledger is missing, or behind; send them first: " + push
	case verdict.SealMissing, verdict.SealUnledgered, verdict.SealUnknownKey:
		if !sent {
			return "when it is sealed, its ledger is missing here; send them first: " + push
		}
	case verdict.SealAuthority, verdict.SealGrant:
		return "see who may do what: covenant capability list"
	}
	return "see it from your side: covenant show " + commit.Short()
}

// mayMove judges how a protected ref moves. Forward it may go: its commits answer for
// themselves. For anything else somebody who may must have admitted exactly this, last.
func (p *pushed) mayMove(ctx context.Context, m move) error {
	line := p.facts.Line(m.ref)
	forward := false
	var err error
	if !m.old.IsZero() && !m.new.IsZero() {
		if forward, err = provenance.Forward(ctx, p.s, m.old, m.new); err != nil {
			return err
		}
	}
	isTag := strings.HasPrefix(m.ref, "refs/tags/")
	if forward && !isTag {
		return nil
	}
	action, what := capability.Rewind, "goes back, or elsewhere"
	switch {
	case isTag:
		action, what = capability.Tag, "is made, moved or deleted"
	case m.old.IsZero():
		action, what = capability.Ref, "is made"
	case m.new.IsZero():
		action, what = capability.Ref, "is deleted"
	}
	var commit oid.ID
	if c, err := p.s.Commit(m.new.String() + "^{commit}"); !m.new.IsZero() && err == nil {
		commit = c.ID
	}
	asker := p.in.asker(p.s.Repo(), p.facts.Root, p.facts.Authority)
	state := p.facts.RefState(provenance.Head{Ref: m.ref, ID: m.new, Commit: commit}, p.in.Now(), asker)
	if m.old.IsZero() && !isTag {
		if ok, err := p.goesOn(ctx, line, &state, m.new); err != nil || ok {
			return err
		}
	}
	why := "nobody admitted that"
	for _, e := range state.Last {
		if e.Old != m.old || e.New != m.new {
			continue
		}
		d := asker.Decide(capability.Query{KeyID: e.KeyID, Action: action, At: p.in.Now(), Ref: m.ref})
		if d.Allowed {
			return nil
		}
		why = "who admitted it may not: " + d.Reason
	}
	for _, x := range state.Findings {
		if x.Code == verdict.RefAuthority {
			why = x.Message
		}
	}
	old := ""
	if !m.old.IsZero() {
		old = " --old " + m.old.String()
	}
	again := "git push --force REMOTE " + m.new.String() + ":" + m.ref
	there := "with it at " + m.new.Short() + " there"
	if m.new.IsZero() {
		again = "git push REMOTE :" + m.ref + " (where HEAD is not that branch, or receive.denyDeleteCurrent allows it)"
		there = "with it deleted there (git update-ref -d " + m.ref + ")"
	}
	p.refuse(m.ref, "who has "+action+", in a clone, "+there+": covenant ref admit "+m.ref+old+" && covenant sync --yes; then: "+again, "%s: it is protected and %s, and %s", verdict.RefUnadmitted, what, why)
	return nil
}

// goesOn reports whether a protected branch that is not here yet is published as its line has it, or further on.
func (p *pushed) goesOn(ctx context.Context, line *verdict.Line, state *verdict.RefState, head oid.ID) (bool, error) {
	from := state.Ends
	if len(state.Last) == 0 {
		from = line.Since
	}
	for _, id := range from {
		if id.IsZero() {
			continue // it was deleted
		}
		if ok, err := provenance.Forward(ctx, p.s, id, head); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}
