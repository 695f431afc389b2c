package sync

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// LedgerTooLong says that a ledger has more news than is taken at once.
const LedgerTooLong verdict.Code = "ledger.too-long"

// maxPasses bounds how often authority is folded anew without what an earlier pass refused.
const maxPasses = 8

// ledgers judges what the remote has of each ledger.
func (in *incoming) ledgers() error {
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(in.there)) {
		if !strings.HasPrefix(name, trackedLedgers) {
			continue
		}
		if ref := covenant + name; in.ours[ref] == in.there[name] {
			in.keep[name] = in.there[name]
		} else {
			differ = append(differ, ref)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.tracked)) {
		ref := covenant + name
		if was := in.tracked[name]; strings.HasPrefix(name, trackedLedgers) && in.there[name].IsZero() && !in.ours[ref].IsZero() {
			in.rep.refuse(verdict.LedgerRolledBack, strings.TrimPrefix(ref, ledger.Prefix), "ask who keeps "+in.shown+"; what is here stays, and is sent again: covenant sync",
				"%s had this ledger up to %s, and has nothing of it now", in.shown, in.entry(in.s, was))
		}
	}
	if len(differ) == 0 {
		return nil
	}
	differ, err := in.news(differ)
	if err != nil {
		return err
	}
	overlay, forked, err := in.sort(differ)
	if err != nil {
		return err
	}
	if err := in.judge(overlay); err != nil {
		return err
	}
	return in.forks(forked)
}

// news reads which entries are new, within the limit, and returns the ledgers that may be looked at.
func (in *incoming) news(refs []string) ([]string, error) {
	// Ledgers that are here first, and among those that are not the ones that introduce others.
	slices.SortStableFunc(refs, func(a, b string) int { return in.rank(a) - in.rank(b) })
	take := func(refs []string, most int) (map[oid.ID][]oid.ID, error) { // trees of what is too much are of no harm
		q := git.LogQuery{Max: most + 1}
		for _, ref := range refs {
			q.Revs = append(q.Revs, in.there[under(ref)].String())
			if id := in.ours[ref]; !id.IsZero() {
				q.Revs = append(q.Revs, "^"+id.String())
			}
		}
		got := map[oid.ID][]oid.ID{}
		for c, err := range in.qs.Log(q) {
			if err != nil {
				return nil, err
			}
			got[c.ID], in.commits[c.ID] = c.Parents, c
		}
		return got, nil
	}
	got, err := take(refs, in.o.Limits.Entries)
	if err == nil && len(got) <= in.o.Limits.Entries {
		in.fresh = got
		return refs, nil
	}
	// Too much, or one that is no ledger at all: each by itself, so that none stands in the way of another.
	left := in.o.Limits.Entries
	var out []string
	for _, ref := range refs {
		got, err := take([]string{ref}, left)
		switch {
		case in.ctx.Err() != nil:
			return nil, err
		case err != nil:
			in.rep.warn(verdict.LedgerDamaged, strings.TrimPrefix(ref, ledger.Prefix), "", "what %s has under this name is no ledger; it was left there", in.shown)
			in.bad[ref] = true
		case len(got) > left:
			in.rep.warn(LedgerTooLong, strings.TrimPrefix(ref, ledger.Prefix), "if that is what you expect: covenant sync --limit 1g", "%s has more than %d entries of this ledger that are not here; it was left there", in.shown, left)
			in.bad[ref] = true
		default:
			left -= len(got)
			maps.Copy(in.fresh, got)
			out = append(out, ref)
		}
	}
	return out, nil
}

func (in *incoming) rank(ref string) int {
	n, _ := isLedger(ref)
	switch {
	case !in.ours[ref].IsZero():
		return 0
	case n.Topic == provenance.CapabilityTopic:
		return 1
	}
	return 2
}

// sort tells ledgers that go on from ours, or are new, from those that do neither. Those that are behind ours are done with.
func (in *incoming) sort(refs []string) (forward map[string]oid.ID, forked []string, err error) {
	forward = map[string]oid.ID{}
	for _, ref := range refs {
		ours, theirs := in.ours[ref], in.there[under(ref)]
		at := theirs
		for n := 0; n <= len(in.fresh) && at != ours; n++ {
			parents, ok := in.fresh[at]
			if !ok || len(parents) != 1 {
				break
			}
			at = parents[0]
		}
		switch {
		case ours.IsZero(), at == ours:
			forward[ref] = theirs
		default:
			behind, err := in.behind(ref)
			if err != nil {
				return nil, nil, err
			}
			if behind {
				continue
			}
			a, err := in.compare(ref)
			if err != nil {
				return nil, nil, err
			}
			switch in.along[ref] = a; {
			case !a.begins || a.same < min(len(a.ours), len(a.theirs)):
				forked = append(forked, ref)
			case a.pruned():
				if forward[ref], err = in.prune(ref, a); err != nil {
					return nil, nil, err
				}
			case a.same < len(a.theirs): // all of ours and more, in other commits
				forward[ref] = theirs
				in.rewrapped(ref)
			default:
				in.bad[ref] = true // nothing of ours can follow it
				in.rewrapped(ref)
				in.shorter(ref, a)
			}
		}
	}
	return forward, forked, nil
}

// behind reports whether the remote has a beginning of our ledger, and tells when it had more of it.
func (in *incoming) behind(ref string) (bool, error) {
	name := under(ref)
	theirs, was := in.there[name], in.tracked[name]
	if _, elsewhere := in.fresh[theirs]; elsewhere {
		return false, nil
	}
	if theirs == was {
		in.keep[name] = theirs
		return true, nil
	}
	chain, err := in.chain(ref)
	if err != nil {
		return false, err
	}
	at := index(chain, theirs)
	if at < 0 {
		return false, nil
	}
	if in.keep[name] = theirs; in.rolledBack(ref, index(chain, was)+1, at+1, theirs) {
		in.keep[name] = was
	}
	return true, nil
}

// rolledBack tells when the remote was known to have more of our ledger than its first n entries.
func (in *incoming) rolledBack(ref string, before, n int, theirs oid.ID) bool {
	was := in.tracked[under(ref)]
	if before <= n {
		return false
	}
	in.rep.refuse(verdict.LedgerRolledBack, strings.TrimPrefix(ref, ledger.Prefix), "ask who keeps "+in.shown+"; what is here stays, and is sent again: covenant sync",
		"%s had %d entries of this ledger (%s), and has %d now (%s)", in.shown, before, in.entry(in.s, was), n, in.entry(in.qs, theirs))
	return true
}

func index(chain []git.Commit, id oid.ID) int {
	return slices.IndexFunc(chain, func(c git.Commit) bool { return c.ID == id })
}

// chain lists our entries of a ledger, oldest first.
func (in *incoming) chain(ref string) ([]git.Commit, error) {
	var out []git.Commit
	for c, err := range in.s.Log(git.LogQuery{Revs: []string{in.ours[ref].String()}}) {
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// judge takes what holds of the ledgers that go on. Who may write is told by the capability ledgers that
// are adopted with them: so authority is folded again until nothing more is refused.
func (in *incoming) judge(overlay map[string]oid.ID) error {
	if len(overlay) == 0 {
		return nil
	}
	if id, ok := in.moves[provenance.RootRef]; ok {
		overlay[provenance.RootRef] = id
	}
	unknown, err := in.strangers(overlay)
	if err != nil {
		return err
	}
	for pass := 1; ; pass++ {
		facts, err := provenance.LoadOnly(in.ctx, in.qs, in.o.Pin, overlay)
		if err != nil {
			return err
		}
		in.facts = facts
		again := false
		for _, ref := range slices.Sorted(maps.Keys(overlay)) {
			n, ok := isLedger(ref)
			if !ok {
				continue
			}
			to, known := in.holds(facts, ref, n)
			if to == overlay[ref] {
				continue
			}
			again = again || n.Topic == provenance.CapabilityTopic
			in.bad[ref] = true
			delete(overlay, ref)
			switch {
			case !known:
				unknown = append(unknown, n.String())
			case !to.IsZero() && to != in.ours[ref]:
				overlay[ref] = to
			}
		}
		if !again {
			break
		}
		if pass == maxPasses {
			in.rep.warn(verdict.LedgerUnknown, in.shown, "", "so many ledgers of %s hang on refused ones that none was taken", in.shown)
			clear(overlay)
			break
		}
	}
	in.rep.Unknown = unknown
	for ref, to := range overlay {
		if n, ok := isLedger(ref); ok {
			if a := in.along[ref]; a != nil && a.pruned() {
				in.take(ref, to, a)
				continue
			}
			in.moves[ref], in.keep[under(ref)] = to, to
			in.copied(n)
		}
	}
	return nil
}

// strangers takes ledgers out of the overlay that need not be read: those that are too large, and those of keys
// that nobody can have introduced, by their names. It returns the latter.
func (in *incoming) strangers(overlay map[string]oid.ID) (unknown []string, err error) {
	budget := in.o.Limits.Bytes
	grants, others := map[string]oid.ID{}, []string{}
	for _, ref := range slices.Sorted(maps.Keys(overlay)) {
		switch n, ok := isLedger(ref); {
		case !ok:
			grants[ref] = overlay[ref]
		case n.Topic != provenance.CapabilityTopic:
			others = append(others, ref)
		case in.fits(ref, &budget):
			grants[ref] = overlay[ref]
		default:
			delete(overlay, ref)
		}
	}
	slices.SortStableFunc(others, func(a, b string) int { return in.rank(a) - in.rank(b) })
	var owners map[string]bool
	asked := false
	for _, ref := range others {
		n, _ := isLedger(ref)
		if in.ours[ref].IsZero() {
			if !asked {
				asked = true
				if owners, err = in.owners(grants); err != nil {
					return nil, err
				}
			}
			if owners != nil && !owners[string(n.Writer)[:ownerDigits]] {
				delete(overlay, ref)
				in.bad[ref] = true
				unknown = append(unknown, n.String())
				continue
			}
		}
		if !in.fits(ref, &budget) {
			delete(overlay, ref)
		}
	}
	return unknown, nil
}

// ownerDigits is how many digits of a writer's name tell the key.
const ownerDigits = 16

// owners returns the beginnings of the writers' names of all who may be known when these ledgers are taken; nil when that
// can't be told.
func (in *incoming) owners(grants map[string]oid.ID) (map[string]bool, error) {
	f, err := provenance.LoadProposedAuthority(in.ctx, in.qs, in.o.Pin, grants)
	if err != nil {
		return nil, err
	}
	if f.Authority.Contested() {
		return nil, nil // who holds a key that two introduce is not told by grants alone
	}
	owners := map[string]bool{}
	add := func(p *capability.Principal) {
		for _, k := range p.Keys {
			owners[string(ledger.NewWriter(k.Digest(), [4]byte{}))[:ownerDigits]] = true
		}
	}
	for _, p := range provenance.Persons(f.Root) { // former ones as well
		add(&p)
	}
	for _, p := range f.Authority.Principals() {
		add(p)
	}
	return owners, nil
}

// bareEntry is what a commit counts for in which no statement is found, in bytes: it is one object in memory under each name that it stands under.
const bareEntry = 1 << 10

// fits takes the size of a ledger's new statements, and of what is left of those that were dropped, from the budget, and tells of it when it is too
// large for that.
func (in *incoming) fits(ref string, budget *int64) bool {
	left := *budget
	for size, err := range in.qs.Sizes(func(yield func(string) bool) {
		at := in.there[under(ref)]
		for parents, ok := in.fresh[at]; ok; parents, ok = in.fresh[at] {
			if !yield(at.String() + ":" + ledger.File) {
				return
			}
			if ledger.Gapped([]git.Commit{in.commits[at]}) && !yield(at.String()+":"+ledger.DroppedFile) || len(parents) != 1 {
				return
			}
			at = parents[0]
		}
	}) {
		if err != nil {
			size = bareEntry // it is damaged, which is told when it is read
		}
		if left -= size; left < 0 {
			in.bad[ref] = true
			in.rep.warn(LedgerTooLong, strings.TrimPrefix(ref, ledger.Prefix), "if that is what you expect: covenant sync --limit 1g", "%s has more than %d MiB of this ledger that is not here; it was left there", in.shown, *budget>>20)
			return false
		}
	}
	*budget = left
	return true
}

// holds returns how far a ledger may be taken: to the end, to the entry before the one where it breaks, or
// not at all. known says that somebody introduced its writer.
func (in *incoming) holds(f *provenance.Facts, ref string, n ledger.Name) (to oid.ID, known bool) {
	theirs := in.there[under(ref)]
	c := f.Chains[n.String()]
	if c == nil || len(c.Entries) == 0 {
		return oid.ID{}, true // of a repository that this one replaces: it says nothing
	}
	if _, ok := f.Authority.ByKey(c.Entries[0].KeyID); !ok {
		return oid.ID{}, false
	}
	end := len(c.Entries)
	if c.Broken != nil {
		if in.ours[ref].IsZero() || slices.ContainsFunc(c.Entries[c.From:], func(e verdict.Entry) bool { return e.Commit == theirs }) {
			in.rep.refuse(c.Broken.Code, c.Name, c.Broken.Hint, "of %s: %s; from there on it was not adopted", in.shown, c.Broken.Message)
		}
		end = c.From
	}
	here := slices.IndexFunc(c.Entries, func(e verdict.Entry) bool { return e.Commit == in.ours[ref] }) + 1
	if a := in.along[ref]; a != nil {
		if here = a.same; a.pruned() {
			return in.holdsPruned(f, ref, a), true
		}
	}
	if end <= here {
		if in.along[ref] != nil {
			return oid.ID{}, true
		}
		return in.ours[ref], true // it is broken here already; zero where nothing is here
	}
	if end = here + in.bareEntries(c, here, end); end == here && in.along[ref] != nil {
		return oid.ID{}, true
	}
	if end == 0 {
		return oid.ID{}, true
	}
	return c.Entries[end-1].Commit, true
}

// bareEntries counts, from the entry at index from on, those that are nothing but entries, or what is left of them, and tells of the first one that is not.
func (in *incoming) bareEntries(c *verdict.Chain, from, to int) int {
	var list, gaps []oid.ID
	for i, e := range c.Entries[from:to] {
		switch {
		case !e.Dropped:
			list = append(list, e.Commit)
		case i == 0 || c.Entries[from+i-1].Commit != e.Commit:
			gaps = append(gaps, e.Commit)
		}
	}
	n, err := ledger.BareGaps(in.qs, gaps)
	if err == nil {
		n, err = ledger.Bare(in.qs, list)
		gaps = list
	}
	if err == nil {
		return to - from
	}
	n = slices.IndexFunc(c.Entries[from:to], func(e verdict.Entry) bool { return e.Commit == gaps[n] })
	in.rep.refuse(verdict.LedgerDamaged, c.Name, "ask who keeps "+in.shown, "of %s: entry %d: %v; from there on it was not adopted", in.shown, from+n+1, err)
	return n
}
