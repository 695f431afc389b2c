package provenance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// lost tells of ledgers that lack what somebody saw there. Of a ledger that a key of the trust root writes, and that
// another entry by persons or automation of the root, or what is left of it, shows to have been longer, nothing can be relied
// on: what is missing may be a revocation, or where a protected ref was put. Agents can plant no such finding.
func (f *Facts) lost() {
	w := verdict.World{Chains: f.Chains}
	far, sure := map[string]envelope.Head{}, map[string]envelope.Head{}
	rooted := sync.OnceValue(f.rooted)
	see := func(into map[string]envelope.Head, h envelope.Head) {
		if h.Seq > into[h.Ledger].Seq {
			into[h.Ledger] = h
		}
	}
	owner := f.ownerOf(f.Authority)
	forked := sync.OnceValue(f.forked)
	intact := map[string]int{}
	reached := func(name string) int {
		n, known := intact[name]
		if !known {
			if c := f.Chains[name]; c != nil {
				n = c.Intact(owner)
			}
			intact[name] = n
		}
		return n
	}
	// missing reports whether an entry of a ledger of the trust root's keys is not there, with all before it.
	missing := func(h envelope.Head, exactly bool) bool {
		if h.Seq > uint64(reached(h.Ledger)) { //nolint:gosec // a count
			return true
		}
		id, _ := w.At(h.Ledger, h.Seq)
		return id != h.ID && (exactly || strings.HasPrefix(h.Ledger, CapabilityTopic+"/")) && !forked()[standing{h.Ledger, h.ID}]
	}
	// ends reports whether a ledger that the trust root says the end of has that entry there, and all before it.
	ends := func(last envelope.Head) bool {
		c := f.Chains[last.Ledger]
		return last.Seq > 0 && c != nil && c.Late != nil && uint64(c.LateFrom) == last.Seq && reached(last.Ledger) >= c.LateFrom //nolint:gosec // a count
	}
	for _, c := range f.Chains {
		for i := range c.Entries {
			e := &c.Entries[i]
			for _, h := range e.Header.Heads {
				_, there := w.At(h.Ledger, h.Seq)
				if !there {
					see(far, h)
				}
				writer := rooted()[writerKey(h.Ledger)]
				if writer == nil || e.Err != nil || there && !missing(h, false) {
					continue
				}
				if last, all := writer.Reach(h.Ledger); !all && (h.Seq > last.Seq || ends(last)) {
					continue // the operators who removed the key said which way it went, and where that ended
				}
				if c.Lost == nil && c.Whole(i) {
					c.LostAt, c.Lost = i, &verdict.Finding{
						Code: verdict.LedgerRolledBack, Hint: "covenant sync",
						Message: fmt.Sprintf("its writer had seen entry %d of ledger %s, which is not there", h.Seq, h.Ledger),
					}
				}
				// What such a key signed is evidence wherever it stands: who can cut a ledger can cut that of the witness, too.
				if f.vouches(entryRef{c, i}) {
					see(sure, h)
				}
			}
			// An entry that stands where it can't is evidence as well: its writer had made those before it.
			if writer := rooted()[writerKey(c.Name)]; writer != nil && e.Claims(c.Name, owner) && f.vouches(entryRef{c, i}) {
				if h := (envelope.Head{Ledger: c.Name, Seq: e.Header.Seq, ID: e.ID}); missing(h, false) {
					see(sure, h)
				}
			}
		}
	}
	for _, x := range f.Root.Former {
		for _, h := range x.Seen {
			if missing(h, true) {
				see(far, h)
				see(sure, h)
			}
		}
	}
	names := slices.Sorted(maps.Keys(far))
	for name := range sure {
		if _, both := far[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		h, here := far[name], len(entriesOf(f.Chains[name]))
		if s, ok := sure[name]; ok {
			has := fmt.Sprintf("with %d entries", here)
			if n := reached(name); n < here {
				has = fmt.Sprintf("with %d entries that follow each other", n)
			}
			f.problem(verdict.LedgerWithheld, name, "fetch it from who has it: covenant sync; if nobody has, its writer takes another key: covenant trust rotate",
				"it had entry %d (%s) when keys of the trust root saw it, and has it no more, %s: what is missing may be a revocation", s.Seq, s.ID.Short(), has)
			continue
		}
		f.problem(verdict.LedgerRolledBack, name, "fetch it from who has it; in a clone of your own look for the entry: git fsck --lost-found", "it had %d entries when others saw it (%s), and has %d now",
			h.Seq, h.ID.Short(), here)
	}
}

// A standing entry is named by its ledger and itself.
type standing struct {
	ledger string
	id     envelope.Digest
}

// forked returns the known entries that stand on the other way that their ledger went.
func (f *Facts) forked() map[standing]bool {
	out := map[standing]bool{}
	for _, x := range f.forks {
		for i := range x.chain.Entries {
			if e := &x.chain.Entries[i]; e.Err == nil {
				out[standing{x.chain.Name, e.ID}] = true
			}
		}
	}
	return out
}

// rooted returns whose the keys of persons and automation of the trust root are, present and former, by the digits that begin the
// names of their ledgers.
func (f *Facts) rooted() map[string]*capability.Principal {
	out := map[string]*capability.Principal{}
	for _, p := range Persons(f.Root) {
		for _, k := range p.Keys {
			if by, ok := f.Authority.ByKey(k.ID()); ok { // one that was given back has no end
				out[ledger.KeyDigits(k.Digest())] = by
			}
		}
	}
	return out
}

// writerKey returns the digits of the writer's key in the name of a ledger.
func writerKey(name string) string {
	_, writer, _ := strings.Cut(name, "/")
	key, _, _ := strings.Cut(writer, "-")
	return key
}
