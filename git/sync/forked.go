package sync

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// along is how far a ledger there goes along with ours, by what was signed: anybody who may write refs can put
// signed entries into other commits, and the writer has nothing to do with that.
type along struct {
	ours   []ledger.Slot // oldest first
	theirs []ledger.Slot // likewise
	begins bool          // theirs is a line of commits that has a first one, or begins with one of ours
	same   int           // so many entries are the same
}

// compare finds how far a ledger there goes along with ours.
func (in *incoming) compare(ref string) (*along, error) {
	ours, err := in.chain(ref)
	if err != nil {
		return nil, err
	}
	a := &along{begins: true}
	var theirs []git.Commit
	trees := map[oid.ID]oid.ID{}
	for i := range ours {
		trees[ours[i].ID] = ours[i].Tree
	}
	for at := in.there[under(ref)]; ; {
		c, ok := in.commits[at]
		if !ok {
			i := index(ours, at)
			a.begins = i >= 0
			for ; i >= 0; i-- {
				theirs = append(theirs, ours[i])
			}
			break
		}
		trees[c.ID] = c.Tree
		if theirs = append(theirs, c); len(c.Parents) == 0 {
			break
		}
		if len(c.Parents) > 1 || len(theirs) > len(in.commits) {
			a.begins = false
			break
		}
		at = c.Parents[0]
	}
	slices.Reverse(theirs)
	if a.ours, err = ledger.Expand(in.s, ours); err != nil {
		return nil, err
	}
	if a.theirs, err = ledger.ExpandUpTo(in.qs, theirs, in.gaps); err != nil {
		return nil, err
	}
	for _, x := range a.theirs {
		if x.Dropped != "" {
			in.gaps--
		}
	}
	for a.begins && a.same < min(len(a.ours), len(a.theirs)) {
		x, y := a.ours[a.same], a.theirs[a.same]
		if x != y && (x.Dropped != "" || y.Dropped != "" || trees[x.Commit] != trees[y.Commit]) {
			if id := idOf(in.s, x); id == "" || id != idOf(in.qs, y) {
				break
			}
		}
		a.same++
	}
	return a, nil
}

// idOf returns the identity of what stands at a place; "" where it can't be read.
func idOf(s *git.Session, x ledger.Slot) envelope.Digest {
	if x.Dropped != "" {
		return x.Dropped
	}
	e, _, err := ledger.Read(s, x.Commit)
	if err != nil {
		return ""
	}
	return e.ID()
}

// rewrapped tells of entries that stand in other commits than here.
func (in *incoming) rewrapped(ref string) {
	tell := in.rep.warn
	if a := in.along[ref]; len(a.ours) > len(a.theirs) { // and what is new here can't be sent
		tell = in.rep.refuse
	}
	tell(LedgerRewrapped, strings.TrimPrefix(ref, ledger.Prefix), "ask who keeps "+in.shown+" to put the ledger back: git push --force "+in.shown+" "+ref,
		"%s has entries of this ledger in other commits than this clone: somebody wrapped anew what its writer signed", in.shown)
}

// shorter tells when what is there in other commits lacks what was there.
func (in *incoming) shorter(ref string, a *along) {
	was := in.tracked[under(ref)]
	before := slices.IndexFunc(a.ours, func(x ledger.Slot) bool { return x.Commit == was }) + 1
	in.rolledBack(ref, before, len(a.theirs), in.there[under(ref)])
}

// forks tells of ledgers that go another way than ours: with both entries, where the other one is signed by its writer.
func (in *incoming) forks(refs []string) error {
	if len(refs) == 0 {
		return nil
	}
	overlay := map[string]oid.ID{}
	budget := in.o.Limits.Bytes
	for _, ref := range refs {
		if in.bad[ref] = true; in.fits(ref, &budget) {
			overlay[ref] = in.there[under(ref)]
		}
	}
	maps.Copy(overlay, in.moves)
	f, err := provenance.LoadOnly(in.ctx, in.qs, in.o.Pin, overlay)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if overlay[ref].IsZero() {
			continue // it was told
		}
		n, _ := isLedger(ref)
		a, c := in.along[ref], f.Chains[n.String()]
		i := a.same
		if c == nil || !a.begins || i >= len(c.Entries) || !c.Whole(i) || c.Entries[i].Err != nil {
			in.rep.refuse(verdict.LedgerDamaged, n.String(), "ask who keeps "+in.shown, "what %s has under this name is not this ledger: it was not adopted", in.shown)
			continue
		}
		evidence := provenance.ForkRef(n, c.Entries[i].ID)
		if err := in.evidence(n, evidence, a, c); err != nil {
			return err
		}
		mine := string(idOf(in.s, a.ours[i]))
		if f.Settled(n.String(), uint64(i)+1, envelope.Digest(mine), c.Entries[i].ID) { //nolint:gosec // an index is no negative number
			continue // operators said that it goes as it does here
		}
		in.rep.refuse(verdict.LedgerFork, n.String(), "show both to an operator, who decides: covenant audit resolve "+n.String()+"; see them: git log --graph "+ref+" "+evidence,
			"its writer signed two entries number %d: %s here, and %s at %s; that one was not adopted", i+1, mine, c.Entries[i].ID, in.shown)
		in.copied(n)
	}
	return nil
}

// evidence keeps the other way that a ledger went: its good entries from the fork on, in commits of our own on top of the last entry
// that both have. So nothing is kept but what the writer signed, and the same evidence is the same commits.
func (in *incoming) evidence(n ledger.Name, ref string, a *along, c *verdict.Chain) error {
	to := len(c.Entries)
	if c.Broken != nil {
		to = c.From
	}
	var tip oid.ID
	if a.same > 0 && (a.same == len(a.ours) || a.ours[a.same].Commit != a.ours[a.same-1].Commit) { // else it stands for what is not the same, too
		tip = a.ours[a.same-1].Commit
	}
	for _, e := range c.Entries[a.same:to] {
		tree, err := git.EncodeTree([]git.TreeEntry{{Mode: git.ModeFile, Name: ledger.File, ID: e.Blob}})
		if err != nil {
			return err
		}
		var parents []oid.ID
		if !tip.IsZero() {
			parents = []oid.ID{tip}
		}
		who := git.Ident{Name: "covenant", Email: string(n.Writer) + "@covenant", When: e.Header.When()}
		tip = in.qs.Put("commit", git.EncodeCommit(in.qs.Put("tree", tree), parents, who, who, fmt.Sprintf("fork: entry %d\n", e.Header.Seq)))
	}
	if err := in.qs.Flush(); err != nil {
		return err
	}
	if was := in.evidently[ref]; !was.IsZero() && was != tip { // it stays, and grows
		if ok, err := provenance.Forward(in.ctx, in.qs, was, tip); err != nil || !ok {
			return err
		}
	}
	in.forked[ref] = tip
	return nil
}

// copied notes that somebody else writes, or wrote, as this clone, if it is not another worktree of it that was faster.
func (in *incoming) copied(n ledger.Name) {
	if in.mine(n.Ref()) {
		in.suspect = append(in.suspect, n)
	}
}

// renew makes this clone another replica where somebody else writes as it does. It is called under the lock: what a
// worktree wrote meanwhile is here by now.
func (in *incoming) renew() error {
	if len(in.suspect) == 0 {
		return nil
	}
	if err := in.look(); err != nil {
		return err
	}
	copied := false
	for _, n := range in.suspect {
		if now := in.ours[n.Ref()]; now != in.from[n.Ref()] {
			if ok, err := provenance.Forward(in.ctx, in.s, in.there[under(n.Ref())], now); err != nil {
				return err
			} else if ok {
				continue
			}
		}
		copied = true
		in.rep.warn(LedgerCopied, n.String(), "", "%s has entries of this ledger that this clone wrote no more: it was copied, or restored; from now on it writes ledgers of its own", in.shown)
	}
	if !copied {
		return nil
	}
	return provenance.RenewReplica(in.s.Repo())
}
