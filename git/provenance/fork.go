package provenance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
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
		if f.dropped[x.chain] {
			continue // an operator said so, and nothing is wrong any more
		}
		if e, seq, ok := x.differs(ours); ok {
			says := "its writer signed two entries number %d: %s stands here, and %s at %s"
			hint := "show both to an operator, who decides: covenant audit resolve " + x.chain.Name
			if f.way(x.chain.Name, e.Header.Seq, e.ID, ours.Entries[seq-1].ID) {
				says += "; an operator decided for the latter"
				hint = "go that way: covenant doctor --fix"
			}
			if topic == CapabilityTopic {
				ours.Break(seq-1, verdict.LedgerFork, says+"; grants from there on count for nothing, revocations of both do", seq, ours.Entries[seq-1].ID.Short(), e.ID.Short(), x.ref)
			} else {
				f.problem(verdict.LedgerFork, x.chain.Name, hint, says, seq, ours.Entries[seq-1].ID.Short(), e.ID.Short(), x.ref)
			}
		}
	}
}

// denied collects the denials of the other ways that ledgers went.
func (f *Facts) denied(refs []entryRef, states []*statement) {
	for i, r := range refs {
		e, d := r.entry(), states[i].decision
		if !f.dropped[r.chain] && e.Err == nil && d != nil && e.Header.Ledger() == r.chain.Name {
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

// resolve gathers which ways operators said that ledgers went, and finds the ways that count for nothing by it. Nobody decides
// of a ledger in the ledger itself: who forked it could do so on either side.
func (f *Facts) resolve(refs []entryRef, states []*statement) {
	f.dropped, f.ways = map[*verdict.Chain]bool{}, nil
	for i, r := range refs {
		st := states[i].resolved
		if st == nil || r.chain != f.Chains[r.chain.Name] || writerOf(r.chain.Name) == writerOf(st.Ledger) || !f.linked(r) {
			continue
		}
		if p, ok := f.Authority.ByKey(r.entry().KeyID); ok && p.Operator && p.Until.IsZero() {
			f.ways = append(f.ways, *st)
		}
	}
	f.drop()
}

// linked reports whether an entry stands where its signer put it, with all before it.
func (f *Facts) linked(r entryRef) bool {
	c := verdict.Chain{Name: r.chain.Name, Entries: r.chain.Entries[:r.i+1]}
	topic, writer, _ := strings.Cut(c.Name, "/")
	c.Link(topic, writer, f.ownerOf(f.Authority))
	return c.Broken == nil && (r.chain.Broken == nil || r.i < r.chain.From)
}

// drop finds the ways that count for nothing, of those whose entries were opened.
func (f *Facts) drop() {
	for _, x := range f.forks {
		ours := f.Chains[x.chain.Name]
		if e, seq, ok := x.differs(ours); ok && f.way(x.chain.Name, e.Header.Seq, ours.Entries[seq-1].ID, e.ID) {
			f.dropped[x.chain] = true
		}
	}
}

// differs returns the first entry of the other way that is not ours, and its number; not ok where it proves nothing, or goes on where
// ours ends.
func (x *fork) differs(ours *verdict.Chain) (e *verdict.Entry, seq int, ok bool) {
	for i := range x.chain.Entries {
		e := &x.chain.Entries[i]
		seq := int(e.Header.Seq) //nolint:gosec // bounded by envelope.Header.Check
		if ours == nil || e.Err != nil || e.Header.Ledger() != x.chain.Name || seq == 0 || seq > len(ours.Entries) {
			return nil, 0, false
		}
		if ours.Entries[seq-1].ID != e.ID {
			return e, seq, true
		}
	}
	return nil, 0, false
}

// Settled reports whether operators said that a ledger goes on with an entry of ours, and not with that of its other way.
func (f *Facts) Settled(name string, seq uint64, ours, theirs envelope.Digest) bool {
	return f.way(name, seq, ours, theirs)
}

// way reports whether operators said that a ledger has the one entry and not the other, and none said otherwise.
func (f *Facts) way(name string, seq uint64, keep, drop envelope.Digest) bool {
	said := false
	for i := range f.ways {
		r := &f.ways[i]
		if r.Ledger == name && r.Seq == seq {
			if r.Keep == drop {
				return false
			}
			said = said || r.Keep == keep && r.Drop == drop
		}
	}
	return said
}

// writerOf returns the writer in the name of a ledger.
func writerOf(name string) string {
	_, writer, _ := strings.Cut(name, "/")
	return writer
}

// A Fork is a ledger that went two ways.
type Fork struct {
	Ledger      ledger.Name
	Ref         string // where the other way is
	Seq         uint64 // of the first entry that differs
	Here, There envelope.Digest
	Decided     bool // an operator said that it goes the other way
	apart       bool // what is here of the other way lacks the entries before it
}

// ErrApart says that a ledger can't go another way here: the entries before the fork were dropped here, and the other way has them not.
var ErrApart = errors.New("the entries before the fork were dropped here, and the ledger can't go the other way without them")

// Reaches returns why a ledger can't be moved to its other way here; nil where it can. The error is ErrApart.
func (x *Fork) Reaches() error {
	if x.apart {
		return fmt.Errorf("%s from entry %d on: %w", x.Ledger, x.Seq, ErrApart)
	}
	return nil
}

// Forks returns the ledgers that went two ways, and of which nobody said that they go the way that they go here.
func (f *Facts) Forks() []Fork {
	var out []Fork
	for _, x := range f.forks {
		name, ok := parseFork(x.ref)
		ours := f.Chains[x.chain.Name]
		e, seq, differs := x.differs(ours)
		if !ok || !differs || f.dropped[x.chain] {
			continue
		}
		here := ours.Entries[seq-1].ID
		root := f.commits[x.chain.Entries[0].Commit]
		apart := x.chain.Entries[0].Header.Seq > 1 && len(root.Parents) == 0
		out = append(out, Fork{name, x.ref, e.Header.Seq, here, e.ID, f.way(x.chain.Name, e.Header.Seq, e.ID, here), apart})
	}
	return out
}

// Resolve records, as an operator, which way a forked ledger goes: there says that it goes the other one.
func (k *Sealer) Resolve(ctx context.Context, x Fork, there bool, reason string) (envelope.Digest, error) {
	if !k.Hand.Principal.Operator {
		return "", fmt.Errorf("%w: %s is no operator", ErrDenied, k.Hand.Principal.Name)
	}
	if err := event.CheckReason(reason); err != nil {
		return "", err
	}
	if there {
		if err := x.Reaches(); err != nil {
			return "", err
		}
	}
	body := event.Resolution{Ledger: x.Ledger.String(), Seq: x.Seq, Keep: x.Here, Drop: x.There, Reason: reason}
	if there {
		body.Keep, body.Drop = x.There, x.Here
	}
	if own, err := k.ledger(CapabilityTopic); err == nil && own.Writer == x.Ledger.Writer { // nobody decides of a ledger in itself
		if err := RenewReplica(k.Session.Repo()); err != nil {
			return "", err
		}
	}
	made, err := k.Record(ctx, CapabilityTopic, Item{event.Resolved, body, fmt.Sprintf("ledger.resolved %s at %d", x.Ledger, x.Seq)})
	if err != nil {
		return "", err
	}
	return made[0].ID, nil
}

// Turn moves a forked ledger to its other way, and keeps the way that it leaves, as evidence. The error wraps [ErrApart] where that lacks what was before it.
func Turn(s *git.Session, x Fork) error {
	if err := x.Reaches(); err != nil {
		return err
	}
	refs, err := s.Tips(x.Ledger.Ref(), x.Ref)
	if err != nil {
		return err
	}
	at := map[string]oid.ID{}
	for _, r := range refs {
		at[r.Name] = r.ID
	}
	left := ForkRef(x.Ledger, x.Here)
	return s.Update("covenant",
		git.RefUpdate{Name: x.Ledger.Ref(), Old: at[x.Ledger.Ref()], New: at[x.Ref]},
		git.RefUpdate{Name: left, New: at[x.Ledger.Ref()]},
		git.RefUpdate{Name: x.Ref, Old: at[x.Ref]})
}
