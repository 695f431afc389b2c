package provenance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrDenied says that the checker does not allow what was asked.
var ErrDenied = errors.New("not allowed")

// A DeniedError names what was refused. It wraps ErrDenied.
type DeniedError struct {
	Commit  oid.ID // zero when there is none yet
	Action  string
	Who     string
	Reason  string
	Refused envelope.Digest // the grant that refused, when one did
	Entry   envelope.Digest // the record of the refusal; "" when it could not be recorded
}

func (e *DeniedError) Error() string {
	what := e.Action
	if !e.Commit.IsZero() {
		what = "commit " + e.Commit.Short() + ": " + e.Action
	}
	return fmt.Sprintf("%s is not allowed to %s: %s", what, e.Who, e.Reason)
}

// Unwrap returns ErrDenied.
func (e *DeniedError) Unwrap() error { return ErrDenied }

// Hand is who seals: a principal's key on this clone.
type Hand struct {
	Principal *capability.Principal
	Signer    identity.Signer
	Attended  bool   // a terminal is there
	Tool      string // the agent tool that runs us, "" when none is known
}

// Sealer writes seals.
type Sealer struct {
	Session   *git.Session
	Root      *Root
	Authority *capability.Authority
	Hand      Hand
	Asker     verdict.Asker // who decides; nil: the built-in checker, here
	Moment    string        // when: a Git hook's name, or a command's
	Now       func() time.Time
	Locked    bool // the caller holds the repository's lock

	all bool // Authority knows every principal
}

// Made is one seal that was written.
type Made struct {
	Commit oid.ID
	ID     envelope.Digest
	Mode   prov.Mode
}

// draft is a commit and everything a seal says of it that does not depend on the ledger.
type draft struct {
	commit  git.Commit
	changes [][]prov.Change
	mode    prov.Mode
	ref     string
	answer  capability.Decision
}

// Seal seals commits in one transaction: ledger entries and notes move
// together or not at all. In mode witness each seal follows a recorded
// decision. A commit this key has sealed already is passed over, and missing
// from what is returned. When a commit is denied nothing is sealed, the refusal is
// recorded, and the error is a *DeniedError.
func (k *Sealer) Seal(ctx context.Context, mode prov.Mode, ref string, commits []git.Commit) ([]Made, error) {
	drafts := make([]draft, 0, len(commits))
	for _, c := range commits {
		done, err := k.Sealed(c.ID)
		if err != nil {
			return nil, err
		}
		if done {
			continue
		}
		d, err := k.draft(mode, ref, c)
		if err != nil {
			return nil, err
		}
		if !d.answer.Allowed {
			return nil, k.deny(ctx, &d)
		}
		drafts = append(drafts, d)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	unlock, err := k.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	name, err := k.ledger(prov.Topic)
	if err != nil {
		return nil, err
	}
	var made []Made
	var heads *sight
	err = ledger.Update(ctx, k.Session, k.seqOf, prefixes, func(tx *ledger.Tx) error {
		made = made[:0]
		if heads, err = k.look(ctx, tx, name); err != nil {
			return err
		}
		var adds []notes.Add
		moved := heads.moved
		for i := range drafts {
			m, blob, err := k.append(tx, name, &drafts[i], moved)
			if err != nil {
				return err
			}
			moved = nil
			made = append(made, m)
			more, err := lines(k.Session, &drafts[i], m, blob)
			if err != nil {
				return err
			}
			adds = append(adds, more...)
		}
		return k.note(tx, adds, "seal "+subjects(drafts))
	})
	if err != nil {
		return nil, err
	}
	heads.remember(k.Session.Repo(), name)
	return made, nil
}

// Sealed reports whether the note of a commit has a seal by this very key.
func (k *Sealer) Sealed(commit oid.ID) (bool, error) {
	found, err := notes.Of(k.Session, notes.Ref, commit)
	if err != nil && !errors.Is(err, notes.ErrUnreadable) {
		return false, err
	}
	mine := k.Hand.Signer.Public()
	for _, data := range found {
		for _, line := range envelope.Lines(data) {
			env, err := envelope.Parse(line)
			if err != nil {
				continue
			}
			st, _, err := openEnvelope(env, k.Root.ID, func(id string) (envelope.Key, bool) { return mine, id == mine.ID() })
			if err == nil && st.seal != nil && st.seal.Commit() == commit {
				return true, nil
			}
		}
	}
	return false, nil
}

func (k *Sealer) draft(mode prov.Mode, ref string, c git.Commit) (draft, error) {
	d := draft{commit: c, mode: mode, ref: ref}
	pairs := []git.TreePair{{New: c.Tree}}
	if len(c.Parents) > 0 {
		pairs = pairs[:0]
		for _, p := range c.Parents {
			pc, err := k.Session.Commit(p.String())
			if err != nil {
				return d, fmt.Errorf("parent %s of %s: %w", p.Short(), c.ID.Short(), err)
			}
			pairs = append(pairs, git.TreePair{Old: pc.Tree, New: c.Tree})
		}
	}
	var err error
	if d.changes, err = changes(k.Session, pairs); err != nil {
		return d, fmt.Errorf("commit %s: %w", c.ID.Short(), err)
	}
	if !slices.ContainsFunc(k.Hand.Principal.Emails, func(e string) bool { return strings.EqualFold(e, c.Committer.Email) }) {
		d.mode = prov.Vouching // somebody else's commit can only be vouched for
	}
	raw := make([][]prov.Raw, len(d.changes))
	for i, list := range d.changes {
		raw[i] = prov.RawOf(list)
	}
	d.answer, err = k.Ask(d.action(), ref, raw)
	return d, err
}

func (d *draft) action() string {
	if d.mode == prov.Vouching {
		return capability.Vouch
	}
	return capability.Commit
}

// Ask asks whether the hand may act on these changes against each parent.
func (k *Sealer) Ask(action, ref string, diffs [][]prov.Raw) (capability.Decision, error) {
	touched := prov.Touched(diffs)
	if k.Authority.NeedsSizes() {
		if err := sizes(k.Session, touched, diffs); err != nil {
			return capability.Decision{}, err
		}
	}
	return k.decide(capability.Query{KeyID: k.Hand.Signer.Public().ID(), Action: action, At: k.Now(), Ref: ref, Changes: touched}), nil
}

func (k *Sealer) decide(q capability.Query) capability.Decision {
	if k.Asker != nil {
		return k.Asker.Decide(q)
	}
	return k.Authority.Decide(q)
}

func (k *Sealer) lock(ctx context.Context) (func(), error) {
	if k.Locked {
		return func() {}, nil
	}
	return k.Session.Repo().Lock(ctx)
}

// deny records that a commit was refused, and returns the refusal.
func (k *Sealer) deny(ctx context.Context, d *draft) error {
	return k.Deny(ctx, d.action(), d.ref, d.commit, d.answer)
}

// Deny records a refusal in the hand's ledger and returns it as a *DeniedError;
// commit has no ID when there is none yet. A refusal that can't be recorded is one all the same.
func (k *Sealer) Deny(ctx context.Context, action, ref string, c git.Commit, answer capability.Decision) error {
	out := &DeniedError{Commit: c.ID, Action: action, Who: k.Hand.Principal.Name, Reason: answer.Reason, Refused: answer.Refused}
	body := k.decision(action, ref, c, answer)
	body.Commit = c.ID
	made, err := k.Record(ctx, prov.Topic, Item{Type: prov.Decided, Body: body, Subject: fmt.Sprintf("gate.decided deny %s to %s", action, k.Hand.Principal.Name)})
	if err == nil {
		out.Entry = made[0].ID
	}
	return out
}

func (k *Sealer) decision(action, ref string, c git.Commit, answer capability.Decision) prov.Decision {
	d := prov.Decision{
		Action: action, Allowed: answer.Allowed, Checkers: answer.Checkers, Grants: answer.Grants, KeyID: k.Hand.Signer.Public().ID(), Moment: k.Moment,
		Parents: c.Parents, Reason: answer.Reason, Ref: ref, Refused: answer.Refused, Tree: c.Tree,
	}
	if d.Grants == nil {
		d.Grants = []envelope.Digest{}
	}
	if d.Parents == nil {
		d.Parents = []oid.ID{}
	}
	if d.Checkers == nil {
		d.Checkers = []string{}
	}
	return d
}

// Item is one statement to record that is not about a Git object.
type Item struct {
	Type    string
	Body    any
	Subject string // one line for people
}

// Record appends statements to the hand's ledger of a topic, all or none.
func (k *Sealer) Record(ctx context.Context, topic string, items ...Item) ([]ledger.Appended, error) {
	unlock, err := k.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	name, err := k.ledger(topic)
	if err != nil {
		return nil, err
	}
	var made []ledger.Appended
	var heads *sight
	err = ledger.Update(ctx, k.Session, k.seqOf, prefixes, func(tx *ledger.Tx) error {
		made = made[:0]
		if heads, err = k.look(ctx, tx, name); err != nil {
			return err
		}
		moved, now := heads.moved, k.Now()
		for _, item := range items {
			a, err := tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
				payload, err := envelope.Statement(item.Type, k.header(name, seq, prev, moved, now), item.Body)
				if err != nil {
					return ledger.Entry{}, err
				}
				return k.entry(envelope.TypeLedger, payload, item.Subject, now)
			})
			if err != nil {
				return err
			}
			moved = nil
			made = append(made, a)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	heads.remember(k.Session.Repo(), name)
	return made, nil
}

func (k *Sealer) header(name ledger.Name, seq uint64, prev envelope.Digest, heads []envelope.Head, now time.Time) envelope.Header {
	return envelope.Header{Heads: heads, Prev: prev, Repository: k.Root.ID, Seq: seq, Time: envelope.Timestamp(now), Topic: name.Topic, Writer: string(name.Writer)}
}

// ledger names this key's chain of a topic on this clone.
func (k *Sealer) ledger(topic string) (ledger.Name, error) {
	replica, err := OpenReplica(k.Session.Repo())
	if err != nil {
		return ledger.Name{}, err
	}
	return ledger.Name{Topic: topic, Writer: ledger.NewWriter(k.Hand.Signer.Public().Digest(), replica)}, nil
}

// append puts the decision, where the mode has one, and the seal behind it.
func (k *Sealer) append(tx *ledger.Tx, name ledger.Name, d *draft, heads []envelope.Head) (Made, oid.ID, error) {
	now := k.Now()
	body := k.decision(d.action(), d.ref, d.commit, d.answer)
	var decision envelope.Digest
	if d.mode == prov.Witness {
		a, err := tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
			payload, err := envelope.Statement(prov.Decided, k.header(name, seq, prev, nil, now), body)
			if err != nil {
				return ledger.Entry{}, err
			}
			return k.entry(envelope.TypeLedger, payload, fmt.Sprintf("gate.decided allow %s %s", body.Action, d.commit.Tree.Short()), now)
		})
		if err != nil {
			return Made{}, oid.ID{}, err
		}
		decision = a.ID
	}
	a, err := tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
		p := k.Hand.Principal
		s := prov.NewSeal(d.commit.ID, d.commit.Tree, prov.Predicate{
			Attended: k.Hand.Attended, Changes: d.changes, Decision: decision, Entry: k.header(name, seq, prev, heads, now), Grants: body.Grants, Mode: d.mode, Parents: body.Parents,
			Principal: prov.Principal{Accountable: p.Accountable, Kind: p.Kind, Name: p.Name}, Ref: d.ref, Tool: k.Hand.Tool, Unrecorded: prov.Unrecorded(k.Hand.Tool != ""),
		})
		payload, err := s.Encode()
		if err != nil {
			return ledger.Entry{}, err
		}
		return k.entry(envelope.TypeInToto, payload, fmt.Sprintf("seal.%s %s by %s", d.mode, d.commit.ID.Short(), p.Name), now)
	})
	if err != nil {
		return Made{}, oid.ID{}, err
	}
	return Made{Commit: d.commit.ID, ID: a.ID, Mode: d.mode}, a.Blob, nil
}

func (k *Sealer) entry(typ string, payload []byte, subject string, when time.Time) (ledger.Entry, error) {
	e, err := envelope.Seal(typ, payload, envelope.SealWith{KeyID: k.Hand.Signer.Public().ID(), Signer: k.Hand.Signer})
	if err != nil {
		return ledger.Entry{}, err
	}
	return ledger.Entry{Envelope: e, Subject: subject, Author: k.Hand.Principal.Name, When: when}, nil
}

// lines are the notes of one seal that was just put.
func lines(s *git.Session, d *draft, m Made, blob oid.ID) ([]notes.Add, error) {
	o, err := s.Object(blob.String(), envelope.MaxSize+1)
	if err != nil {
		return nil, err
	}
	adds := linesFor(s.Repo().Format(), d.commit.ID, m.ID, d.changes, o.Data[:len(o.Data)-1], blob)
	if len(adds) > 1 { // the pointer is one blob, shared by all that changed
		shared := s.Put("blob", append(slices.Clone(adds[1].Line), '\n'))
		for i := range adds[1:] {
			adds[1+i].Blob = shared
		}
	}
	return adds, nil
}

// linesFor are the lines a seal puts into notes: its envelope on the commit, a pointer on each new blob.
func linesFor(format oid.Format, commit oid.ID, id envelope.Digest, changes [][]prov.Change, line []byte, blob oid.ID) []notes.Add {
	adds := []notes.Add{{Object: commit, Line: line, Blob: blob}}
	pointer := notes.Pointer{Commit: commit, Envelope: id}.Line()
	empty := format.EmptyBlob().String()
	seen := map[string]bool{}
	for _, list := range changes {
		for i := range list {
			c := &list[i]
			if c.New == "" || c.New == empty || c.NewMode == gitlink || seen[c.New] {
				continue
			}
			seen[c.New] = true
			if object, err := oid.Parse(c.New); err == nil {
				adds = append(adds, notes.Add{Object: object, Line: pointer, Hint: true})
			}
		}
	}
	return adds
}

const gitlink = "160000"

// note moves the notes view with the ledgers. A view that can't be read, or whose
// lock a dead process left, is left alone: doctor mends it, and no seal is lost with it.
func (k *Sealer) note(tx *ledger.Tx, adds []notes.Add, subject string) error {
	if tx.Stuck(notes.Ref) {
		return nil
	}
	base := tx.Refs()[notes.Ref]
	tip, err := notes.Edit(k.Session, base, notes.Ident(k.Now()), subject, adds)
	if err != nil {
		if errors.Is(err, notes.ErrUnreadable) {
			return nil
		}
		return err
	}
	if tip != base {
		tx.Set(notes.Ref, tip)
	}
	return nil
}

func subjects(d []draft) string {
	if len(d) == 1 {
		return d[0].commit.ID.Short()
	}
	return fmt.Sprintf("%s and %d more", d[0].commit.ID.Short(), len(d)-1)
}

// seqOf reads the number of this key's own newest entry.
func (k *Sealer) seqOf(name ledger.Name, _ oid.ID, e *envelope.Envelope) (uint64, error) {
	_, h, err := openEnvelope(e, k.Root.ID, k.Authority.Ring)
	if err != nil {
		return 0, err
	}
	if h.Ledger() != name.String() {
		return 0, fmt.Errorf("%w: it belongs to %s", ledger.ErrDamaged, h.Ledger())
	}
	return h.Seq, nil
}

// sight is what a writer has seen of other ledgers: a local memory, so that an
// entry names only those that moved. Without it an entry names them all.
type sight struct {
	Tip   string              `json:"tip"`   // the writer's own newest entry when this was written
	Heads map[string]headSeen `json:"heads"` // by ledger

	moved []envelope.Head
	tx    *ledger.Tx
}

type headSeen struct {
	Commit string          `json:"commit"`
	ID     envelope.Digest `json:"id"`
	Seq    uint64          `json:"seq"`
}

// knowAll makes sure that the writers of a ledger that moved are known: an
// operator's authority is the trust root alone until somebody else's ledger matters.
func (k *Sealer) knowAll(ctx context.Context, n ledger.Name) error {
	if k.all {
		return nil
	}
	for _, p := range k.Authority.Principals() {
		for _, key := range p.Keys {
			if n.Writer.OfKey(key.Digest()) {
				return nil
			}
		}
	}
	f, err := loadTopics(ctx, k.Session, k.Root, CapabilityTopic+"/")
	if err != nil {
		return err
	}
	k.Authority, k.all = f.Authority, true
	return nil
}

// look compares the ledgers with what the writer saw last.
func (k *Sealer) look(ctx context.Context, tx *ledger.Tx, name ledger.Name) (*sight, error) {
	v := &sight{Heads: map[string]headSeen{}, tx: tx}
	own := tx.Refs()[name.Ref()]
	if b, err := os.ReadFile(seenFile(k.Session.Repo(), name)); err == nil {
		var old sight
		if json.Unmarshal(b, &old) == nil && old.Tip == own.String() && old.Heads != nil {
			v.Heads = old.Heads
		}
	}
	for ref, commit := range tx.Refs() {
		n, ok := ledger.ParseRef(ref)
		if !ok || n == name {
			continue
		}
		was := v.Heads[n.String()]
		if was.Commit == commit.String() {
			continue
		}
		if err := k.knowAll(ctx, n); err != nil {
			return nil, err
		}
		tip, err := tx.Tip(n)
		if err != nil || tip.Seq < was.Seq {
			continue // unreadable, unknown or going back: nothing a statement should rest on
		}
		v.Heads[n.String()] = headSeen{commit.String(), tip.ID, tip.Seq}
		v.moved = append(v.moved, envelope.Head{Ledger: n.String(), Seq: tip.Seq, ID: tip.ID})
	}
	slices.SortFunc(v.moved, func(a, b envelope.Head) int { return strings.Compare(a.Ledger, b.Ledger) })
	return v, nil
}

// remember stores what was seen. It is a memory only: failing to write it costs some bytes later.
func (v *sight) remember(r *git.Repo, name ledger.Name) {
	tip, err := v.tx.Tip(name)
	if err != nil {
		return
	}
	v.Tip = tip.Commit.String()
	if b, err := json.Marshal(v); err == nil {
		_ = writeState(seenFile(r, name), append(b, '\n'))
	}
}

func seenFile(r *git.Repo, n ledger.Name) string {
	return filepath.Join(r.StateDir(), "seen", n.Topic+"-"+string(n.Writer)+".json")
}
