package provenance

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ForkPrefix is where the other way stands that a ledger went: "<topic>/<writer>-<12 digits of the first entry that differs>".
// Until somebody decides, which is by taking the ref away or by moving the ledger there, revocations and denials of both sides
// count, and grants of neither that were made after the fork.
const ForkPrefix = "refs/covenant-fork/"

// ForkRef names the ref of a fork by the first entry of the other way.
func ForkRef(n ledger.Name, first envelope.Digest) string {
	return ForkPrefix + n.String() + "-" + first.Short()
}

// parseFork returns the name of the ledger that a ref under [ForkPrefix] is of.
func parseFork(ref string) (ledger.Name, bool) {
	rest, ok := strings.CutPrefix(ref, ForkPrefix)
	i := strings.LastIndexByte(rest, '-')
	if !ok || i < 0 {
		return ledger.Name{}, false
	}
	return ledger.ParseRef(ledger.Prefix + rest[:i])
}

// forkUnder is where the forks of the ledgers under a prefix stand.
func forkUnder(under string) string { return ForkPrefix + strings.TrimPrefix(under, ledger.Prefix) }

// assembleForks makes chains of what went another way, without the entries that our ledgers have in the same commits.
func (f *Facts) assembleForks() {
	for _, ref := range slices.Sorted(maps.Keys(f.forkTips)) {
		name, ok := parseFork(ref)
		if !ok {
			continue
		}
		here := map[oid.ID]bool{}
		for _, e := range entriesOf(f.Chains[name.String()]) {
			here[e.Commit] = true
		}
		c := &verdict.Chain{Name: name.String()}
		for id := f.forkTips[ref]; !here[id] && len(c.Entries) <= len(f.commits); {
			commit, ok := f.commits[id]
			if !ok {
				break
			}
			c.Entries = append(c.Entries, verdict.Entry{Commit: id})
			if len(commit.Parents) != 1 {
				break
			}
			id = commit.Parents[0]
		}
		if slices.Reverse(c.Entries); len(c.Entries) > 0 {
			c.Break(0, verdict.LedgerFork, "")
			f.forks = append(f.forks, fork{chain: c, ref: ref})
		}
	}
}

// fork is the other way that a ledger went.
type fork struct {
	chain *verdict.Chain // broken from its beginning, so that only what is counted on both sides of a break counts
	ref   string
}

// forkEntries lists the entries of the other ways of some topics.
func (f *Facts) forkEntries(want func(topic string) bool) []entryRef {
	var out []entryRef
	for _, x := range f.forks {
		if topic, _, _ := strings.Cut(x.chain.Name, "/"); want(topic) {
			for i := range x.chain.Entries {
				out = append(out, entryRef{x.chain, i})
			}
		}
	}
	return out
}

// tellForks tells of the ledgers of some topics that went two ways. Of a capability ledger no grant counts from there on.
func (f *Facts) tellForks(want func(topic string) bool) {
	if f.only {
		return // what is to be adopted is judged as it stands
	}
	for _, x := range f.forks {
		topic, _, _ := strings.Cut(x.chain.Name, "/")
		ours := f.Chains[x.chain.Name]
		if !want(topic) || ours == nil {
			continue
		}
		for _, e := range x.chain.Entries {
			seq := int(e.Header.Seq) //nolint:gosec // bounded by envelope.Header.Check
			if e.Err != nil || e.Header.Ledger() != x.chain.Name || seq > len(ours.Entries) {
				break // it proves nothing, or goes on where ours ends
			}
			if ours.Entries[seq-1].ID == e.ID {
				continue
			}
			const says = "its writer signed two entries number %d: %s stands here, and %s at %s"
			if topic == CapabilityTopic {
				ours.Break(seq-1, verdict.LedgerFork, says+"; grants from there on count for nothing, revocations of both do", seq, ours.Entries[seq-1].ID.Short(), e.ID.Short(), x.ref)
			} else {
				f.problem(verdict.LedgerFork, x.chain.Name, "show both to an operator: git log --graph "+ledger.Prefix+x.chain.Name+" "+x.ref, says, seq, ours.Entries[seq-1].ID.Short(), e.ID.Short(), x.ref)
			}
			break
		}
	}
}

// denied collects the denials of the other ways that ledgers went.
func (f *Facts) denied(refs []entryRef, states []statement) {
	for i, r := range refs {
		e, d := r.entry(), states[i].decision
		if e.Err == nil && d != nil && e.Header.Ledger() == r.chain.Name {
			f.deny(e, d)
		}
	}
}

// deny notes a recorded refusal of a commit that was made all the same, by who is known here and who asked.
func (f *Facts) deny(e *verdict.Entry, d *prov.Decision) {
	if _, known := f.Authority.ByKey(e.KeyID); known && !d.Allowed && !d.Commit.IsZero() && d.KeyID == e.KeyID {
		f.Denied[d.Commit] = append(f.Denied[d.Commit], verdict.Denial{KeyID: e.KeyID, ID: e.ID, Moment: d.Moment, Reason: d.Reason})
	}
}
