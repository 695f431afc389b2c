package provenance

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// What entries of ledgers say is remembered, so that who looks at a few commits, or at what came since, does not open all
// ledgers again: that their signatures verified, where they stand, and what kind of statement each is. Seals and decisions,
// which are nearly all there is, are read from Git when somebody asks for them, and are what they were by their digest; other statements are kept.
// These are facts whoever asks: whose keys are known, how entries follow each other, and what they amount to is found anew.
//
// Remembered is of a ledger what it begins with, up to the first entry that could not be opened or that breaks it. Each topic
// is one body:
//
//	digest of the repository, <bytes of an object name>, names of keys and ledgers, then of each ledger its name, how many entries, and their bytes
//
// Texts and lists have their length before them. Numbers are unsigned varints.
type openedTopic struct {
	names  []string // of keys and ledgers, as entries point at them
	at     map[string]int
	chains map[string]*openedChain // by "<topic>/<writer>"
}

type openedChain struct {
	entries []openedEntry
	raw     []byte // as it was written
}

// openedEntry is what is remembered of one entry.
type openedEntry struct {
	commit, blob oid.ID
	id           envelope.Digest
	key          string
	time         string
	heads        []envelope.Head
	kind         openedKind
	about        oid.ID // the commit that a seal is about
	intent       string // that a seal names
	text         []byte // the blob of another statement
}

type openedKind byte

const (
	openedSilent   openedKind = iota // it says nothing to us, and keeps its place
	openedSeal                       // of a commit
	openedDecision                   // that denied no commit
	openedText                       // anything else
)

// header is the header that the entry at an index of a ledger has.
func (e *openedEntry) header(repository envelope.Digest, topic, writer string, i int, prev envelope.Digest) envelope.Header {
	return envelope.Header{Heads: e.heads, Prev: prev, Repository: repository, Seq: uint64(i) + 1, Time: e.time, Topic: topic, Writer: writer} //nolint:gosec // an index is no negative number
}

// of returns what is remembered of the entry at an index, which stands in a commit; nil for nothing.
func (t *openedTopic) of(name string, i int, commit oid.ID) *openedEntry {
	if t == nil || t.chains[name] == nil {
		return nil
	}
	list := t.chains[name].entries
	if i >= len(list) || list[i].commit != commit {
		return nil
	}
	return &list[i]
}

func newOpenedTopic() *openedTopic {
	return &openedTopic{at: map[string]int{}, chains: map[string]*openedChain{}}
}

func (t *openedTopic) name(s string) int {
	i, ok := t.at[s]
	if !ok {
		i = len(t.names)
		t.names, t.at[s] = append(t.names, s), i
	}
	return i
}

// extend writes down entries that follow those that a chain has. All are rememberable.
func (t *openedTopic) extend(c *openedChain, entries []openedEntry) {
	for i := range entries {
		e := &entries[i]
		when, _ := time.Parse(time.RFC3339, e.time)
		b := append(c.raw, byte(e.kind))
		b = append(append(b, e.commit.Bytes()...), e.blob.Bytes()...)
		b = append(b, digestBytes(e.id)...)
		b = binary.AppendUvarint(b, uint64(t.name(e.key))) //nolint:gosec // an index
		b = binary.AppendUvarint(b, uint64(when.Unix()))   //nolint:gosec // rememberable sees to it
		b = binary.AppendUvarint(b, uint64(len(e.heads)))
		for _, h := range e.heads {
			b = binary.AppendUvarint(b, uint64(t.name(h.Ledger))) //nolint:gosec // an index
			b = binary.AppendUvarint(b, h.Seq)
			b = append(b, digestBytes(h.ID)...)
		}
		switch e.kind {
		case openedSeal:
			b = binary.AppendUvarint(append(b, e.about.Bytes()...), uint64(t.name(e.intent))) //nolint:gosec // an index
		case openedText:
			b = appendText(b, e.text)
		case openedSilent, openedDecision:
		}
		c.raw = b
	}
	c.entries = append(c.entries, entries...)
}

// rememberable reports whether an entry comes back as it is.
func (e *openedEntry) rememberable() bool {
	when, err := time.Parse(time.RFC3339, e.time)
	return err == nil && when.Unix() >= 0 && when.UTC().Format(time.RFC3339) == e.time && e.id.Valid() && strings.HasPrefix(e.key, "SHA256:") &&
		!slices.ContainsFunc(e.heads, func(h envelope.Head) bool { return !h.ID.Valid() })
}

func (t *openedTopic) encode(repository envelope.Digest, format oid.Format) []byte {
	var body []byte
	chains := make([]string, 0, len(t.chains))
	for name := range t.chains {
		chains = append(chains, name)
	}
	slices.Sort(chains)
	body = binary.AppendUvarint(body, uint64(len(chains)))
	for _, name := range chains {
		c := t.chains[name]
		body = binary.AppendUvarint(body, uint64(t.name(name))) //nolint:gosec // an index
		body = binary.AppendUvarint(body, uint64(len(c.entries)))
		body = appendText(body, c.raw)
	}
	out := appendText(nil, []byte(repository))
	out = append(out, byte(format.Size())) //nolint:gosec // 20 or 32
	out = binary.AppendUvarint(out, uint64(len(t.names)))
	for _, n := range t.names {
		out = appendText(out, []byte(n))
	}
	return append(out, body...)
}

var errOpened = errors.New("what is remembered of ledgers is not as it was written")

// decodeOpened reads what encode wrote.
func decodeOpened(b []byte, repository envelope.Digest, format oid.Format) (*openedTopic, error) {
	r := &openedReader{b: b, format: format}
	if string(r.text()) != string(repository) || int(r.byte()) != format.Size() {
		return nil, errOpened
	}
	t := newOpenedTopic()
	for n := r.count(1); n > 0 && !r.bad; n-- {
		if name := string(r.text()); t.name(name) != len(t.names)-1 || len(t.at) != len(t.names) {
			return nil, errOpened // the same one twice
		}
	}
	for n := r.count(3); n > 0 && !r.bad; n-- {
		name, count, raw := r.name(t), r.number(), r.text()
		if r.bad {
			break
		}
		c := &openedChain{raw: slices.Clip(raw)}
		if c.entries = readOpened(raw, t, format, count); c.entries == nil || t.chains[name] != nil {
			return nil, errOpened
		}
		t.chains[name] = c
	}
	if r.bad || len(r.b) > 0 {
		return nil, errOpened
	}
	return t, nil
}

func readOpened(raw []byte, t *openedTopic, format oid.Format, count uint64) []openedEntry {
	r := &openedReader{b: raw, format: format}
	if count == 0 || count > uint64(len(raw)) {
		return nil
	}
	out := make([]openedEntry, 0, count)
	for range count {
		e := openedEntry{kind: openedKind(r.byte()), commit: r.oid(), blob: r.oid(), id: r.digest(), key: r.name(t)}
		e.time = time.Unix(int64(r.number()&(1<<40-1)), 0).UTC().Format(time.RFC3339) //nolint:gosec // 40 bits
		if n := r.count(1 + 1 + 32); n > 0 {
			e.heads = make([]envelope.Head, n)
			for i := range e.heads {
				e.heads[i] = envelope.Head{Ledger: r.name(t), Seq: r.number(), ID: r.digest()}
			}
		}
		switch e.kind {
		case openedSeal:
			e.about, e.intent = r.oid(), r.name(t)
		case openedText:
			e.text = r.text()
		case openedSilent, openedDecision:
		default:
			return nil
		}
		if r.bad {
			return nil
		}
		out = append(out, e)
	}
	if len(r.b) > 0 {
		return nil
	}
	return out
}

// openedReader takes bytes apart. Once something is wrong all that it reads is zero.
type openedReader struct {
	b      []byte
	format oid.Format
	bad    bool
}

func (r *openedReader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *openedReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *openedReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is a number of things that take some bytes each.
func (r *openedReader) count(each int) int {
	n := r.number()
	if n > uint64(len(r.b)/each) {
		r.bad = true
		return 0
	}
	return int(n) //nolint:gosec // bounded by the length
}

func (r *openedReader) text() []byte { return r.take(r.number()) }

func (r *openedReader) oid() oid.ID {
	if b := r.take(uint64(r.format.Size())); b != nil { //nolint:gosec // 20 or 32
		return r.format.FromBytes(b)
	}
	return oid.ID{}
}

func (r *openedReader) digest() envelope.Digest {
	const prefix = "sha256:"
	b := r.take(32)
	if b == nil {
		return ""
	}
	var text [len(prefix) + 64]byte
	hex.Encode(text[copy(text[:], prefix):], b)
	return envelope.Digest(text[:])
}

func (r *openedReader) name(t *openedTopic) string {
	i := r.number()
	if i >= uint64(len(t.names)) {
		r.bad = true
		return ""
	}
	return t.names[i]
}

func digestBytes(d envelope.Digest) []byte {
	b, _ := hex.DecodeString(strings.TrimPrefix(string(d), "sha256:"))
	return b
}

func appendText(b, text []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// memorable is what there is to remember of an entry that was opened, and what it states; false where it is to be opened again.
func memorable(e *verdict.Entry, st *statement, data []byte) (openedEntry, bool) {
	out := openedEntry{commit: e.Commit, blob: e.Blob, id: e.ID, key: e.KeyID, time: e.Header.Time, heads: e.Header.Heads, kind: kindOf(st)}
	switch out.kind {
	case openedSeal:
		out.about, out.intent = st.seal.Commit(), st.seal.Predicate.Intent
	case openedText:
		out.text = data
	case openedSilent, openedDecision:
	}
	return out, out.rememberable() && (out.kind != openedText || len(data) > 0)
}

func kindOf(st *statement) openedKind {
	switch {
	case *st == statement{}:
		return openedSilent
	case st.seal != nil:
		return openedSeal
	case st.decision != nil && (st.decision.Allowed || st.decision.Commit.IsZero()):
		return openedDecision
	}
	return openedText
}
