package verdict

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Entry is what is known of one ledger entry.
type Entry struct {
	Commit oid.ID
	Blob   oid.ID
	ID     envelope.Digest // zero when the envelope could not be parsed
	KeyID  string
	Header envelope.Header
	Err    error // why it was not opened or read; its Header is then unknown

	// Dropped: a pruning left of it no more than its identity. Commit stands for it and others, and Header has its place only.
	Dropped bool
}

// Chain is one ledger, oldest entry first, and how far it can be believed.
type Chain struct {
	Name     string // "<topic>/<writer>"
	Entries  []Entry
	Broken   *Finding // the first thing wrong with it
	From     int      // index of the first entry that Broken affects; entries before it stand
	Late     *Finding // why entries from LateFrom on count for nothing: the trust root removed their writer's key; nil: it did not
	LateFrom int
	Lost     *Finding // of the first entry that saw more of a ledger of the trust root's keys than is here; nil for none
	LostAt   int      // index of that entry: it and all later ones were made by who had seen it
}

// Break records that entries from index i on cannot be believed. The earliest break stays.
func (c *Chain) Break(i int, code Code, format string, a ...any) {
	if c.Broken != nil && c.From <= i {
		return
	}
	c.From = i
	c.Broken = &Finding{Code: code, Object: c.Name, Message: fmt.Sprintf(format, a...), Hint: "covenant doctor"}
}

// Whole reports whether the entry at index i stands before any break, and was made before its writer's key was removed.
func (c *Chain) Whole(i int) bool { return c.Wrong(i) == nil }

// Wrong returns why the entry at index i counts for nothing; nil when it does count.
func (c *Chain) Wrong(i int) *Finding {
	switch {
	case c.Broken != nil && i >= c.From:
		return c.Broken
	case c.Late != nil && i >= c.LateFrom:
		return c.Late
	}
	return nil
}

// Intact returns how many entries the chain begins with that nobody but its writer can have put there: each was opened, or
// is signed and too new to be read, and follows the one before it. ownerOf is that of [Chain.Link].
func (c *Chain) Intact(ownerOf func(keyID string) (string, bool)) int {
	var prev envelope.Digest
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.Dropped && c.Broken != nil && c.Broken.Code == LedgerPruned && i >= c.From {
			return i // nobody who may says what was there
		}
		if !e.Claims(c.Name, ownerOf) || e.Header.Seq != uint64(i)+1 || e.Header.Prev != prev {
			return i
		}
		prev = e.ID
	}
	return len(c.Entries)
}

// Claims reports whether an entry's signature is that of a ledger's writer, and its statement says that it belongs there:
// wherever it stands, that writer has made all entries before its number.
func (e *Entry) Claims(name string, ownerOf func(keyID string) (string, bool)) bool {
	if e.Err != nil && !errors.Is(e.Err, envelope.ErrNewer) || e.Header.Ledger() != name {
		return false
	}
	owner, ok := ownerOf(e.KeyID)
	return ok && strings.HasPrefix(e.Header.Writer, owner)
}

// Link checks what chains entries: numbers, identities of predecessors, the
// writer, the key, and that no head goes back. ownerOf tells the ledger's
// writer prefix of a key, the first sixteen digits of its name.
func (c *Chain) Link(topic, writer string, ownerOf func(keyID string) (string, bool)) {
	t := Thread{Topic: topic, Writer: writer}
	for i := range c.Entries {
		if code, why := t.Take(&c.Entries[i], ownerOf); code != "" {
			c.Break(i, code, "%s", why)
			return
		}
	}
}

// Thread is how far a ledger was followed, entry by entry. Of its beginning only Topic and Writer are set.
type Thread struct {
	Topic, Writer string
	ID            envelope.Digest   // of the last entry
	Seq           uint64            // its number
	Named         map[string]uint64 // heads that entries named so far, by ledger
}

// Take goes on to the next entry. Where that breaks the rules of a chain it says by which code, and why, and nothing is taken.
func (t *Thread) Take(e *Entry, ownerOf func(keyID string) (string, bool)) (Code, string) {
	name := t.Topic + "/" + t.Writer
	broken := func(code Code, format string, a ...any) (Code, string) {
		return code, fmt.Sprintf("entry %d of %s ", t.Seq+1, name) + fmt.Sprintf(format, a...)
	}
	if e.Err != nil {
		return ledgerCode(e.Err), fmt.Sprintf("entry %d of %s: %v", t.Seq+1, name, e.Err)
	}
	h := e.Header
	owner, ok := ownerOf(e.KeyID)
	switch {
	case h.Topic != t.Topic || h.Writer != t.Writer:
		return broken(LedgerWriter, "belongs to %s", h.Ledger())
	case !ok || len(t.Writer) < len(owner) || t.Writer[:len(owner)] != owner:
		return broken(LedgerWriter, "is signed by %s, which is not its writer", e.KeyID)
	case h.Seq != t.Seq+1:
		return broken(LedgerOrder, "says it is number %d", h.Seq)
	case h.Prev != t.ID:
		return broken(LedgerOrder, "follows %s, but %s stands before it", h.Prev.Short(), t.ID.Short())
	}
	e.Header.Prev = t.ID // the same text, held once
	for _, d := range h.Heads {
		if d.Seq < t.Named[d.Ledger] {
			return broken(LedgerHeads, "saw entry %d of %s, and had seen %d before", d.Seq, d.Ledger, t.Named[d.Ledger])
		}
	}
	for _, d := range h.Heads {
		if t.Named == nil {
			t.Named = map[string]uint64{}
		}
		t.Named[d.Ledger] = max(t.Named[d.Ledger], d.Seq)
	}
	t.ID, t.Seq = e.ID, h.Seq
	return "", ""
}

func ledgerCode(err error) Code {
	switch CodeOf(err) {
	case SealSignature, SealSignatures, SealUnknownKey:
		return LedgerSignature
	case SealNewer:
		return LedgerNewer
	}
	return LedgerDamaged
}

// World is what all commits of one run share.
type World struct {
	Authority Asker
	Principal func(keyID string) (Principal, bool)
	Emails    func(keyID string) []string                       // addresses the principal commits with
	Operator  func(keyID string) bool                           // needs no grant, or did not when it was an operator
	Dated     func(keyID, ledger string, seq uint64) bool       // an entry's own time is believed; nil: that of everybody who answers for oneself
	Stripped  func(keyID string, by time.Time) bool             // all that was granted to the key was revoked, at a moment or before; zero: any. nil: nothing was
	Endorsed  func(keyID string, at time.Time) bool             // the trust root names the key, or it held something from an operator; nil: all are
	Gone      func(keyID string) bool                           // the trust root let its holder, or the key, go; nil: none
	Holds     func(grants []envelope.Digest, keyID string) bool // they are a line of grants down to this key
	Apart     func(q capability.Query, name string) bool        // it is allowed by grants that somebody did not hand on; nil: all are
	Seen      func(ledger string, index int) (Seen, bool)       // who accountable, other than its writer, saw an entry first
	Left      func(keyID string, at time.Time) bool             // the trust root had let the key go
	Human     func(name string, at time.Time) bool              // a person of the trust root has this name, or had it then
	Policy    *trust.Policy                                     // nil demands the default
	PolicyOf  func(root envelope.Digest) (*trust.Policy, bool)  // that of a version of the trust root; nil: only Policy is known
	Chains    map[string]*Chain
	Decision  func(id envelope.Digest) (*Decided, bool)
	Named     func(id envelope.Digest) (Named, bool)  // an entry that is here; nil: what seals name is not looked at
	Work      func(last envelope.Digest) (Work, bool) // what statements about an intent come to, down to one that is here; nil: likewise
	Might     func(a Act) bool                        // who did it holds, or held, something by which it could; nil: all might
}

// At returns the identity of an entry.
func (w *World) At(ledger string, seq uint64) (envelope.Digest, bool) {
	c, ok := w.Chains[ledger]
	if !ok || seq == 0 || seq > uint64(len(c.Entries)) {
		return "", false
	}
	return c.Entries[seq-1].ID, true
}
