package hooks

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
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
	for _, m := range p.moves {
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
	}
	return nil
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
	sp := provenance.Span{Tips: []oid.ID{tip.ID}, Ref: m.ref, Ranged: true}
	if c, err := p.s.Commit(m.old.String() + "^{commit}"); !m.old.IsZero() && err == nil {
		sp.Except = append(sp.Except, c.ID)
	}
	switch {
	case !protected:
		sp.Except = append(sp.Except, at.all...)
	case len(sp.Except) == 0:
		sp.Except = append(sp.Except, at.protected...)
	}
	if strings.HasPrefix(m.ref, "refs/tags/") && !protected { // what comes with a branch of the same push is judged there
		for _, other := range p.moves {
			if strings.HasPrefix(other.ref, "refs/heads/") && !other.new.IsZero() {
				sp.Except = append(sp.Except, other.new)
			}
		}
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
