package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Limits of one push. What exceeds them is refused before anything of it is read.
const (
	maxPushedRefs    = 4096
	maxPushedCommits = 500_000 // ledger entries included
	maxPushedEntries = 200_000
	maxPushedBytes   = 256 << 20 // of all new envelopes together
)

// pushed is a push before any ref has moved. Its objects are in Git's quarantine.
type pushed struct {
	in      *Input
	s       *git.Session
	pin     envelope.Digest
	moves   []move
	overlay map[string]oid.ID // our refs as the push would leave them
	facts   *provenance.Facts // of the push, and of what was there before it
	wrong   []complaint
	hints   []string
	more    int
}

// receive judges a push to a server's repository, all of it or nothing; what Git itself then can't move stays. It believes the
// pinned root and what is signed by whom that knows, and nothing of the tree that is pushed.
func receive(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	moves, err := readMoves(in.Stdin)
	if err != nil {
		return nil, err
	}
	p := &pushed{in: in, s: s, pin: pin, moves: moves, overlay: map[string]oid.ID{}}
	for i := range p.moves {
		m := &p.moves[i]
		if m.old.IsZero() {
			m.old = oid.ID{}
		}
		if m.new.IsZero() {
			m.new = oid.ID{}
		}
		if isRecord(m.ref) {
			p.overlay[m.ref] = m.new
		}
	}
	if err := p.judge(ctx); err != nil {
		return nil, err
	}
	return nil, p.verdict()
}

// judge collects all that is wrong. What makes the rest unreadable ends it early.
func (p *pushed) judge(ctx context.Context) error {
	for _, step := range []func(context.Context) error{p.limits, p.names, p.present, p.root, p.ledgers} {
		if err := step(ctx); err != nil || len(p.wrong) > 0 {
			return err
		}
	}
	if err := p.records(ctx); err != nil {
		return err
	}
	return p.code(ctx)
}

// limits counts before anything is read.
func (p *pushed) limits(ctx context.Context) error {
	if len(p.moves) > maxPushedRefs {
		p.refuse("", "push fewer refs at once", "%d refs in one push; at most %d are taken", len(p.moves), maxPushedRefs)
		return nil
	}
	var tips strings.Builder
	for _, m := range p.moves {
		if m.new.IsZero() {
			continue
		}
		if c, err := p.s.Commit(m.new.String() + "^{commit}"); err == nil {
			fmt.Fprintln(&tips, c.ID)
		}
	}
	out, err := p.s.Repo().Run(ctx, strings.NewReader(tips.String()), "rev-list", "--count", "--max-count="+strconv.Itoa(maxPushedCommits+1), "--stdin", "--not", "--all")
	if err != nil {
		return fmt.Errorf("counting what is pushed: %w", err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(out))); err != nil || n > maxPushedCommits {
		p.refuse("", "push the history in parts: git push REMOTE COMMIT:refs/heads/BRANCH", "more than %d commits and ledger entries in one push", maxPushedCommits)
	}
	return nil
}

// present refuses a push that says of a ref that it is where it is not. Git would refuse that ref, but only after this hook, and move the
// others. What moves while this hook runs Git refuses likewise: so code is never judged by a record of the same push (names).
func (p *pushed) present(context.Context) error {
	if len(p.moves) == 0 {
		return nil
	}
	names := make([]string, 0, len(p.moves))
	for _, m := range p.moves {
		names = append(names, m.ref)
	}
	refs, err := p.s.Tips(names...)
	if err != nil {
		return err
	}
	at := map[string]oid.ID{}
	for _, r := range refs {
		at[r.Name] = r.ID
	}
	for _, m := range p.moves {
		if to, err := p.s.Symbolic(m.ref); err != nil {
			return err
		} else if to != "" {
			p.refuse(m.ref, "push what it is a name of: git push REMOTE HEAD:"+to, "is here another name of %s", to)
		}
		if now := at[m.ref]; now != m.old && !(now.IsZero() && m.old.IsZero()) {
			p.refuse(m.ref, "fetch, and push again: git fetch REMOTE", "the push says it is at %s, and it is at %s", spot(m.old), spot(now))
		}
	}
	return nil
}

func spot(id oid.ID) string {
	if id.IsZero() {
		return "nothing"
	}
	return id.Short()
}

// root opens the trust root as the push would leave it, held to this server's pin, and all ledgers under it.
func (p *pushed) root(ctx context.Context) error {
	for _, m := range p.moves {
		if m.ref != provenance.RootRef {
			continue
		}
		if !m.old.IsZero() {
			if ok, err := provenance.Forward(ctx, p.s, m.old, m.new); err != nil {
				return err
			} else if !ok {
				p.refuse(m.ref, "take the one that is here: git fetch REMOTE '+"+m.ref+":"+m.ref+"'", "the trust root here has versions that this one does not follow")
				return nil
			}
		}
		if err := p.versions(m); err != nil {
			p.refuse(m.ref, "", "%v", err)
			return nil
		}
	}
	if err := p.entries(); err != nil || len(p.wrong) > 0 {
		return err
	}
	var err error
	p.facts, err = provenance.LoadProposed(ctx, p.s, p.pin, p.overlay)
	var refused *provenance.RootError
	switch {
	case errors.Is(err, provenance.ErrRootMissing):
		p.refuse("", "push it: git push REMOTE "+provenance.RootRef+" 'refs/covenant/ledger/*:refs/covenant/ledger/*'", "root.missing: this repository holds everything to trust root %s, which is not here yet", p.pin)
		return nil
	case errors.As(err, &refused):
		if _, proposed := p.overlay[provenance.RootRef]; proposed {
			p.refuse(provenance.RootRef, "", "%v", refused)
			return nil
		}
	}
	return err
}

// versions reports why a proposed root is no chain of versions from the first one on, whose new commits hold nothing else: anybody can put signed
// versions into other commits, which nobody who clones would take.
func (p *pushed) versions(m move) error {
	if _, err := p.s.Commit(m.new.String()); err != nil {
		return err
	}
	if _, err := provenance.OpenWhole(p.s, m.new.String(), p.pin); err != nil {
		return err
	}
	return p.bare(m)
}

// bare reports what else there is in the new commits of a chain of versions than those.
func (p *pushed) bare(m move) error {
	q := git.LogQuery{Revs: []string{m.new.String()}}
	if !m.old.IsZero() {
		q.Revs = append(q.Revs, "^"+m.old.String())
	}
	var list []oid.ID
	for c, err := range p.s.Log(q) {
		if err != nil {
			return err
		}
		list = append(list, c.ID)
	}
	_, err := ledger.Bare(p.s, list)
	return err
}

// former reports whether a ref is to be the trust root of a repository that this one says to replace: nobody could take anything else away again.
func (p *pushed) former(m move) bool {
	return slices.ContainsFunc(p.facts.Root.Succeeds, func(x trust.Predecessor) bool {
		if m.ref != provenance.FormerPrefix+x.Repository.Short() {
			return false
		}
		if _, err := p.s.Commit(m.new.String()); err != nil {
			return false
		}
		root, err := provenance.OpenWhole(p.s, m.new.String(), x.Head)
		return err == nil && root.ID == x.Repository && p.bare(m) == nil
	})
}

// entries bounds the new entries of ledgers before they are read.
func (p *pushed) entries() error {
	q := git.LogQuery{}
	for _, m := range p.moves {
		if !strings.HasPrefix(m.ref, ledger.Prefix) || m.new.IsZero() {
			continue
		}
		q.Revs = append(q.Revs, m.new.String())
		if !m.old.IsZero() {
			q.Revs = append(q.Revs, "^"+m.old.String())
		}
	}
	var names []string
	for c, err := range p.s.Log(q) {
		if err != nil {
			return fmt.Errorf("ledgers: %w", err)
		}
		if names = append(names, c.ID.String()+":"+ledger.File); len(names) > maxPushedEntries {
			p.refuse("", "push some ledgers first, then the others", "more than %d new ledger entries in one push", maxPushedEntries)
			return nil
		}
	}
	var sum int64
	i := 0
	for size, err := range p.s.Sizes(slices.Values(names)) {
		if err != nil && !errors.Is(err, git.ErrMissing) { // a missing one breaks its ledger, which is told
			return fmt.Errorf("ledgers: %w", err)
		}
		i++
		if sum += size; sum > maxPushedBytes || size > envelope.MaxSize {
			p.refuse("", "push some ledgers first, then the others", "the new ledger entries have more than %d bytes", maxPushedBytes)
			break
		}
	}
	return nil
}

// ledgers: they are only appended to, by their own writers, whom root or grants know.
func (p *pushed) ledgers(context.Context) error {
	for _, m := range p.moves {
		name, ok := ledger.ParseRef(m.ref)
		if !ok {
			continue
		}
		c := p.facts.Chains[name.String()]
		if c == nil || len(c.Entries) == 0 {
			p.refuse(m.ref, "", "%s: is no ledger", verdict.LedgerDamaged)
			continue
		}
		had := slices.IndexFunc(c.Entries, func(e verdict.Entry) bool { return e.Commit == m.old })
		key := c.Entries[0].KeyID
		_, known := p.facts.Authority.ByKey(key)
		switch {
		case c.Broken != nil && c.Broken.Code == verdict.LedgerDamaged:
			p.refuse(m.ref, "", "%s: %s", c.Broken.Code, c.Broken.Message)
		case !m.old.IsZero() && had < 0 && p.pruned(m, c):
		case !m.old.IsZero() && had < 0:
			p.refuse(m.ref, "see what is here: git fetch REMOTE '+refs/covenant/ledger/*:refs/covenant-remote/REMOTE/ledger/*'", "%s: it lacks entries that are here; ledgers are only appended to", verdict.LedgerRolledBack)
		case key != "" && !known:
			p.refuse(m.ref, "push the ledgers of who introduced the writer: git push REMOTE 'refs/covenant/ledger/*:refs/covenant/ledger/*'", "%s: written by %s, whom nobody introduced", verdict.LedgerUnknown, key)
		case c.Broken != nil && c.Broken.Code == verdict.LedgerNewer:
			p.refuse(m.ref, "who keeps this repository updates covenant there", "%s: %s", c.Broken.Code, c.Broken.Message)
		case c.Broken != nil:
			p.refuse(m.ref, "", "%s: %s", c.Broken.Code, c.Broken.Message)
		case p.facts.Tips[m.ref] != m.new:
			p.refuse(m.ref, "", "%s: what was judged ends at %s, and it would be at %s", verdict.LedgerDamaged, spot(p.facts.Tips[m.ref]), spot(m.new))
		}
	}
	return nil
}

// pruned reports whether a ledger is here, or is pushed, without entries that were dropped. What was not known to be dropped, or what may not
// be, is refused: this repository has it.
func (p *pushed) pruned(m move, c *verdict.Chain) bool {
	was, err := ledger.Chain(p.s, m.old)
	gapped := slices.ContainsFunc(was, func(x ledger.Slot) bool { return x.Dropped != "" })
	if err != nil || !gapped && p.facts.Dropped(c.Name) == 0 && (c.Broken == nil || c.Broken.Code != verdict.LedgerPruned) {
		return false
	}
	if c.Broken != nil {
		p.refuse(m.ref, "push the statement with it: covenant sync", "%s: %s", c.Broken.Code, c.Broken.Message)
		return true
	}
	says := event.Pruning{Before: envelope.Timestamp(time.Unix(0, 0))}
	if x, ok := p.facts.PruningOf(c.Name); ok {
		says = x.Says
	}
	switch err := p.facts.CheckDropped(p.s, c, was, &says); {
	case errors.Is(err, provenance.ErrComesBack):
		p.refuse(m.ref, "take what is here: covenant sync", "%s: %v", verdict.LedgerUnpruned, err)
	case err != nil:
		p.refuse(m.ref, "see who says so: covenant audit log --kind ledger.pruned", "%s: %v", verdict.LedgerPruned, err)
	}
	return true
}

// records looks at our other refs: drafts, the notes view, and what must not be collected.
func (p *pushed) records(ctx context.Context) error {
	for _, m := range p.moves {
		_, isLedger := ledger.ParseRef(m.ref)
		if m.ref == notes.Ref && !m.new.IsZero() {
			if err := notes.Check(p.s, m.new.String()); err != nil {
				p.refuse(m.ref, "make the view anew: covenant doctor --fix", "%v", err)
				continue
			}
		}
		switch {
		case m.ref == provenance.RootRef || isLedger || m.new.IsZero() || p.overlay[m.ref].IsZero():
			continue
		case strings.HasPrefix(m.ref, provenance.StagedPrefix):
			if err := provenance.CheckStaged(p.s, p.facts.Root, m.ref, m.new); err != nil {
				p.refuse(m.ref, "", "is no draft of a next version: %v", err)
			}
			continue
		case strings.HasPrefix(m.ref, handoff.Prefix), strings.HasPrefix(m.ref, handoff.ClaimPrefix):
			p.handoff(m)
			continue
		case strings.HasPrefix(m.ref, provenance.FormerPrefix) && !p.former(m):
			p.refuse(m.ref, "", "is no chain of a repository that this one replaced")
			continue
		case m.old.IsZero():
			continue
		}
		ok, err := provenance.Forward(ctx, p.s, m.old, m.new)
		var failed *git.CommandError
		if err != nil && !errors.As(err, &failed) { // what are no commits have no ancestors
			return err
		}
		if err == nil && ok {
			if m.ref == notes.Ref {
				lost, err := p.facts.NotesLost(p.s, m.old, m.new)
				if err != nil {
					return err
				}
				if len(lost) > 0 {
					p.refuse(m.ref, "mend the view: covenant doctor --fix", "takes the seals of %s out of the view, and the ledgers have them", lost[0].Short())
				}
			}
			continue
		}
		hint := ""
		if m.ref == notes.Ref {
			hint = "join them, or leave them: git fetch REMOTE " + notes.Ref + ", git notes --ref=covenant merge -s cat_sort_uniq FETCH_HEAD"
		}
		p.refuse(m.ref, hint, "lacks what is here; records are only added to")
	}
	return nil
}

// handoff takes the objects of a handoff only where they are what was signed, and a claim only where it is the statement of who took it up.
func (p *pushed) handoff(m move) {
	id, _ := handoff.IDOf(m.ref)
	rec := handoff.Of(p.facts)
	h, err := rec.Find(string(id))
	if err != nil {
		p.refuse(m.ref, "push the ledgers of topic intent with it: covenant sync", "no statement of anybody who is known here is of this handoff")
		return
	}
	if strings.HasPrefix(m.ref, handoff.ClaimPrefix) {
		t, ok := rec.Resumption(id, m.new)
		switch was, known := rec.Resumption(id, m.old); {
		case !ok || t.Again || t.Over():
			p.refuse(m.ref, "push the ledgers of topic intent with it: covenant handoff apply ID --claim REMOTE", "is no statement that somebody took this handoff up")
		case !m.old.IsZero() && !(known && was.Over()):
			p.refuse(m.ref, "see who has it: covenant handoff show "+handoff.Short(id), "%v", &handoff.AlreadyResumedError{ID: id, By: was, Who: rec.Who(was.KeyID)})
		}
		return
	}
	if m.new != h.Commit {
		p.refuse(m.ref, "", "is at %s, and %s was signed", m.new.Short(), h.Commit.Short())
		return
	}
	if _, err := handoff.Check(p.s, h, maxPushedBytes); err != nil {
		p.refuse(m.ref, "", "%v", err)
	}
}
