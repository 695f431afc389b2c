// Package ledger keeps append-only chains of envelopes, one writer per chain.
//
// A chain is the ref refs/covenant/ledger/<topic>/<writer>. Each entry is a
// commit whose parent is the previous entry and whose tree holds the envelope
// as the blob "envelope.json", one line of JSON and a newline: the same blob a
// note shows. What the envelope says is none of this package's business; what
// chains entries is the envelope's identity, which the next one must name.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Prefix is where all ledgers stand.
const Prefix = "refs/covenant/ledger/"

// File is the name of the envelope in an entry's tree.
const File = "envelope.json"

// ErrDamaged says that an entry can't be read: an object is missing or is not what an entry is made of.
var ErrDamaged = errors.New("ledger entry is damaged")

// Name names one chain.
type Name struct {
	Topic  string
	Writer Writer
}

// Writer is a key on one clone: 16 hexadecimal digits of the key's digest, "-", 8 of the replica's id.
type Writer string

// valid reports whether the writer's name is well formed.
func (w Writer) valid() bool {
	return len(w) == 25 && w[16] == '-' && hexDigits(string(w[:16])) && hexDigits(string(w[17:]))
}

func hexDigits(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func validTopic(s string) bool {
	for i, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (i == 0 || ((c < '0' || c > '9') && c != '-')) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// NewWriter names the writer of a key, given by its digest, on a replica.
func NewWriter(key [32]byte, replica [4]byte) Writer {
	return Writer(fmt.Sprintf("%s-%x", KeyDigits(key), replica[:]))
}

// KeyDigits begin the names of all writers with the key of this digest.
func KeyDigits(key [32]byte) string { return fmt.Sprintf("%x", key[:8]) }

// OfKey reports whether the writer writes with the key of this digest.
func (w Writer) OfKey(key [32]byte) bool {
	return w.valid() && string(w[:16]) == KeyDigits(key)
}

// String returns "<topic>/<writer>".
func (n Name) String() string { return n.Topic + "/" + string(n.Writer) }

// Ref returns the full name of the chain's ref.
func (n Name) Ref() string { return Prefix + n.String() }

// ParseRef reads the name of a chain's ref.
func ParseRef(ref string) (Name, bool) {
	rest, ok := strings.CutPrefix(ref, Prefix)
	topic, writer, cut := strings.Cut(rest, "/")
	if !ok || !cut || !validTopic(topic) || !Writer(writer).valid() {
		return Name{}, false
	}
	return Name{topic, Writer(writer)}, true
}

// Tip is the newest entry of a chain. The zero Tip is that of an empty chain.
type Tip struct {
	Commit oid.ID
	Seq    uint64
	ID     envelope.Digest
}

// Entry is what a caller appends.
type Entry struct {
	Envelope *envelope.Envelope
	Subject  string    // one line for people
	Author   string    // display name of the principal
	When     time.Time // as the statement says
}

// Appended is an entry that was put: Blob is the envelope's blob, for notes.
type Appended struct {
	Tip
	Ledger Name
	Blob   oid.ID
}

// Blob returns the bytes of an envelope's blob: its line and a newline.
func Blob(e *envelope.Envelope) ([]byte, error) {
	b, err := e.Bytes()
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// Tx is one attempt to move refs together. It sees the refs as they were when it began.
type Tx struct {
	s       *git.Session
	seqs    func(Name, oid.ID, *envelope.Envelope) (uint64, error)
	refs    map[string]oid.ID
	tips    map[Name]Tip
	updates []git.RefUpdate
	at      map[string]int // ref → index in updates
	locked  map[string]int // ref → how many attempts before failed because its lock was held
}

// SeqOf tells the sequence number of the entry in an envelope; the package does not read payloads.
type SeqOf func(name Name, commit oid.ID, e *envelope.Envelope) (uint64, error)

// message is what reflogs say of our transactions.
const message = "covenant"

// Ahead makes ready what [Update] needs at its end.
func Ahead(s *git.Session) { s.UpdateAhead(message) }

// Update calls build with the present refs and moves all that it asked for in
// one transaction. When another process was faster it calls build again with
// fresh refs; build must have no other effect. Ledgers move in the order they
// were first appended to, before anything given to Set, so that a reader never
// finds a view of an entry that is not there.
//
// seen are the refs under the prefixes as somebody has just read them, nil when nobody did: the first attempt starts
// from them. They may be out of date; the old values of the transaction see to that.
func Update(ctx context.Context, s *git.Session, seqOf SeqOf, prefixes []string, seen []git.Ref, build func(*Tx) error) error {
	locked := map[string]int{}
	return git.Retry(ctx, func() error {
		refs := seen
		if seen = nil; refs == nil {
			var err error
			if refs, err = s.Tips(prefixes...); err != nil {
				return err
			}
		}
		tx := &Tx{s: s, seqs: seqOf, refs: map[string]oid.ID{}, tips: map[Name]Tip{}, at: map[string]int{}, locked: locked}
		for _, r := range refs {
			tx.refs[r.Name] = r.ID
		}
		if err := build(tx); err != nil {
			return err
		}
		if len(tx.updates) == 0 {
			return nil
		}
		err := s.Update(message, tx.updates...)
		var conflict *git.ConflictError
		if errors.As(err, &conflict) && len(conflict.Locks) > 0 {
			for _, ref := range conflict.Refs {
				locked[ref]++
			}
		}
		return err
	})
}

// Stuck reports whether a ref's lock has stood in the way of earlier attempts for
// longer than any living process holds it: what can do without that ref does.
func (tx *Tx) Stuck(ref string) bool { return tx.locked[ref] >= git.Patience }

// Refs returns the refs under the prefixes of Update, by name. It must not be changed.
func (tx *Tx) Refs() map[string]oid.ID { return tx.refs }

// Tip returns the newest entry of a chain, this transaction's included.
func (tx *Tx) Tip(n Name) (Tip, error) {
	if t, ok := tx.tips[n]; ok {
		return t, nil
	}
	commit, ok := tx.refs[n.Ref()]
	if !ok {
		return Tip{}, nil
	}
	e, _, err := Read(tx.s, commit)
	if err != nil {
		return Tip{}, fmt.Errorf("newest entry of %s: %w", n, err)
	}
	seq, err := tx.seqs(n, commit, e)
	if err != nil {
		return Tip{}, fmt.Errorf("newest entry of %s: %w", n, err)
	}
	t := Tip{Commit: commit, Seq: seq, ID: e.ID()}
	tx.tips[n] = t
	return t, nil
}

// Append puts one entry at the end of a chain. write gets the sequence number
// and the identity of the previous entry that the statement must carry.
func (tx *Tx) Append(n Name, write func(seq uint64, prev envelope.Digest) (Entry, error)) (Appended, error) {
	tip, err := tx.Tip(n)
	if err != nil {
		return Appended{}, err
	}
	entry, err := write(tip.Seq+1, tip.ID)
	if err != nil {
		return Appended{}, err
	}
	b, err := Blob(entry.Envelope)
	if err != nil {
		return Appended{}, err
	}
	blob := tx.s.Put("blob", b)
	tree, err := git.EncodeTree([]git.TreeEntry{{Mode: 0o100644, Name: File, ID: blob}})
	if err != nil {
		return Appended{}, err
	}
	who := git.Ident{Name: entry.Author, Email: string(n.Writer) + "@covenant", When: entry.When}
	var parents []oid.ID
	if !tip.Commit.IsZero() {
		parents = []oid.ID{tip.Commit}
	}
	commit := tx.s.Put("commit", git.EncodeCommit(tx.s.Put("tree", tree), parents, who, who, entry.Subject+"\n"))
	now := Tip{Commit: commit, Seq: tip.Seq + 1, ID: entry.Envelope.ID()}
	tx.tips[n] = now
	tx.move(n.Ref(), commit)
	return Appended{now, n, blob}, nil
}

// Set moves another ref with the ledgers, after them.
func (tx *Tx) Set(ref string, to oid.ID) { tx.move(ref, to) }

// Also moves refs with the ledgers, after them, that are not under the prefixes of Update: whoever names one knows its old value.
func (tx *Tx) Also(updates ...git.RefUpdate) {
	for _, u := range updates {
		tx.at[u.Name] = len(tx.updates)
		tx.updates = append(tx.updates, u)
	}
}

// Hold makes what is to move do so only while a ref, which is there, is as it was when the transaction began.
func (tx *Tx) Hold(ref string) {
	if _, ok := tx.at[ref]; !ok && len(tx.updates) > 0 {
		tx.move(ref, tx.refs[ref])
	}
}

func (tx *Tx) move(ref string, to oid.ID) {
	if i, ok := tx.at[ref]; ok {
		tx.updates[i].New = to
		return
	}
	old := tx.refs[ref]
	tx.at[ref] = len(tx.updates)
	tx.updates = append(tx.updates, git.RefUpdate{Name: ref, New: to, Old: old})
}

// Read reads the envelope of one entry, and the name of its blob.
func Read(s *git.Session, commit oid.ID) (*envelope.Envelope, oid.ID, error) {
	o, err := s.Object(commit.String()+":"+File, envelope.MaxSize+1)
	if err != nil {
		return nil, oid.ID{}, fmt.Errorf("%w: %s: %w", ErrDamaged, commit.Short(), err)
	}
	e, err := ParseBlob(o.Data)
	if err != nil {
		return nil, o.ID, fmt.Errorf("%w: %s: %w", ErrDamaged, commit.Short(), err)
	}
	return e, o.ID, nil
}

// ParseBlob reads an envelope's blob: exactly one line.
func ParseBlob(b []byte) (*envelope.Envelope, error) {
	n := len(b)
	if n == 0 || b[n-1] != '\n' {
		return nil, fmt.Errorf("%w: no newline at its end", envelope.ErrSyntax)
	}
	return envelope.Parse(b[:n-1])
}
