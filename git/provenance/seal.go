package provenance

import (
	"context"
	"errors"
	"fmt"
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

// ErrKeyRemoved says that the trust root has let the hand's key go since the hand was chosen: choose anew, and try again.
var ErrKeyRemoved = errors.New("the key was removed meanwhile")

// ErrUnanswered says that a checker that must allow it gave no answer: nothing is sealed, and nothing was refused.
var ErrUnanswered = errors.New("the capability checkers gave no answer")

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
	Intent    string        // what it is made for; "" where nobody says
	Now       func() time.Time
	Locked    bool      // the caller holds the repository's lock
	Again     bool      // seal also what this key has sealed already
	Refs      []git.Ref // ledgers and notes as they were just read, by [AuthorityFor]; nil: they are read
	Far       bool      // look at all that moved in other ledgers, however much that is, and name it

	all    bool     // Authority knows every principal
	missed []string // ledgers of known writers that could not be followed to their ends, as of the last act
	rootAt oid.ID   // commit of the trust root that the hand's key was looked up in
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
	query   capability.Query
	answer  capability.Decision
}

// Seal seals commits in one transaction: ledger entries and notes move
// together or not at all. In mode witness each seal follows a recorded
// decision. A commit this key has sealed already is passed over, and missing
// from what is returned. When a commit is denied nothing is sealed, the refusal is
// recorded, and the error is a *DeniedError; where somebody gave no answer it wraps [ErrUnanswered],
// and nothing is held against the commit.
func (k *Sealer) Seal(ctx context.Context, mode prov.Mode, ref string, commits []git.Commit) ([]Made, error) {
	drafts := make([]draft, 0, len(commits))
	for _, c := range commits {
		if !k.Again {
			done, err := k.Sealed(c.ID)
			if err != nil {
				return nil, err
			}
			if done {
				continue
			}
		}
		d, err := k.draft(mode, ref, c)
		if err != nil {
			return nil, err
		}
		drafts = append(drafts, d)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	queries := make([]capability.Query, len(drafts))
	for i := range drafts {
		queries[i] = drafts[i].query
	}
	ledger.Ahead(k.Session) // whatever is decided is recorded
	for i, d := range k.decideAll(queries) {
		if drafts[i].answer = d; !d.Allowed {
			return nil, k.deny(ctx, mode, &drafts[i])
		}
	}
	var made []Made
	err := k.update(ctx, prov.Topic, func(tx *ledger.Tx, name ledger.Name, moved []envelope.Head) error {
		made = made[:0]
		var adds []notes.Add
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
	return made, err
}

// Sealed reports whether the note of a commit has a seal by this very key.
func (k *Sealer) Sealed(commit oid.ID) (bool, error) {
	found, err := notes.Of(k.Session, notes.Ref, commit)
	if err != nil && !errors.Is(err, notes.ErrUnreadable) {
		return false, err
	}
	if _, gone := k.Session.Commit(notes.Ref); gone != nil { // what was sealed last is asked for most
		more, err := k.newest()
		if err != nil {
			return false, err
		}
		found = append(found, more...)
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

// newest returns the envelopes at the end of the hand's own ledger.
func (k *Sealer) newest() ([][]byte, error) {
	name, err := k.ledger(prov.Topic)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	next := name.Ref()
	for range 8 {
		c, err := k.Session.Commit(next)
		if err != nil {
			return out, nil //nolint:nilerr // no ledger yet, or a damaged one: it is told when it is appended to
		}
		o, err := k.Session.Object(c.ID.String()+":"+ledger.File, envelope.MaxSize)
		if err == nil {
			out = append(out, o.Data)
		}
		if len(c.Parents) != 1 {
			break
		}
		next = c.Parents[0].String()
	}
	return out, nil
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
	d.query = capability.Query{KeyID: k.Hand.Signer.Public().ID(), Action: d.action(), At: k.Now(), Ref: ref, Intent: k.Intent}
	d.query.Changes, err = Touched(k.Session, k.Authority, raw)
	return d, err
}

func (d *draft) action() string {
	if d.mode == prov.Vouching {
		return capability.Vouch
	}
	return capability.Commit
}

// Ask asks whether the hand may act.
func (k *Sealer) Ask(q capability.Query) capability.Decision {
	q.KeyID, q.At = k.Hand.Signer.Public().ID(), k.Now()
	return k.decideAll([]capability.Query{q})[0]
}

func (k *Sealer) decideAll(queries []capability.Query) []capability.Decision {
	var asker verdict.Asker = k.Authority
	if k.Asker != nil {
		asker = k.Asker
	}
	if b, ok := asker.(Batcher); ok {
		return b.DecideAll(queries)
	}
	out := make([]capability.Decision, len(queries))
	for i, q := range queries {
		out[i] = asker.Decide(q)
	}
	return out
}

func (k *Sealer) lock(ctx context.Context) (func(), error) {
	if k.Locked {
		return func() {}, nil
	}
	return k.Session.Repo().Lock(ctx)
}

// deny records that a commit was refused, and returns the refusal. Who asks to vouch
// for what others made passes by no gate: such a record is held against no commit.
func (k *Sealer) deny(ctx context.Context, mode prov.Mode, d *draft) error {
	c := d.commit
	if mode == prov.Vouching || d.answer.Unanswered {
		c.ID = oid.ID{}
	}
	err := k.Deny(ctx, d.action(), d.ref, c, d.answer)
	var denied *DeniedError
	if errors.As(err, &denied) {
		denied.Commit = d.commit.ID
	}
	if d.answer.Unanswered {
		return fmt.Errorf("commit %s: %w: %s", d.commit.ID.Short(), ErrUnanswered, d.answer.Reason)
	}
	return err
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
		Intent: k.Intent, Parents: c.Parents, Reason: answer.Reason, Ref: ref, Refused: answer.Refused, Tree: c.Tree,
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
	return k.Compose(ctx, topic, func(ledger.Name, []envelope.Head) ([]Item, error) { return items, nil })
}

// Compose is Record of statements that depend on what their writer has seen: compose is told the ledger, and the heads that the first
// of them will name. It may be called again, and must have no other effect. When it returns nothing, nothing is appended.
func (k *Sealer) Compose(ctx context.Context, topic string, compose func(name ledger.Name, heads []envelope.Head) ([]Item, error)) ([]ledger.Appended, error) {
	return k.ComposeWith(ctx, topic, compose, nil)
}

// ComposeWith is Compose, and moves refs in the same transaction, after the ledger, that refs names when it is told what is appended.
func (k *Sealer) ComposeWith(ctx context.Context, topic string, compose func(name ledger.Name, heads []envelope.Head) ([]Item, error), refs func([]ledger.Appended) []git.RefUpdate) ([]ledger.Appended, error) {
	var made []ledger.Appended
	err := k.update(ctx, topic, func(tx *ledger.Tx, name ledger.Name, moved []envelope.Head) error {
		made = made[:0]
		now := k.Now()
		items, err := compose(name, moved)
		if err != nil {
			return err
		}
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
		if refs != nil && len(made) > 0 {
			tx.Also(refs(made)...)
		}
		return nil
	})
	return made, err
}

// as is how statements name the hand.
func (k *Sealer) as() prov.Principal {
	p := k.Hand.Principal
	return prov.Principal{Accountable: p.Accountable, Kind: p.Kind, Name: p.Name}
}

// Say appends one statement about Git objects to the hand's ledger of a topic, and puts it on an object, where one is named. encode
// writes its payload, given its header. It may be called again.
func (k *Sealer) Say(ctx context.Context, topic, subject string, on oid.ID, encode func(envelope.Header) ([]byte, error)) (ledger.Appended, error) {
	var made ledger.Appended
	err := k.update(ctx, topic, func(tx *ledger.Tx, name ledger.Name, moved []envelope.Head) error {
		now := k.Now()
		var line []byte
		var err error
		made, err = tx.Append(name, func(seq uint64, prev envelope.Digest) (ledger.Entry, error) {
			payload, err := encode(k.header(name, seq, prev, moved, now))
			if err != nil {
				return ledger.Entry{}, err
			}
			e, err := k.entry(envelope.TypeInToto, payload, subject, now)
			if err == nil {
				line, err = e.Envelope.Bytes()
			}
			return e, err
		})
		if err != nil || on.IsZero() {
			return err
		}
		return k.note(tx, []notes.Add{{Object: on, Line: line, Blob: made.Blob}}, subject)
	})
	return made, err
}

// update appends to the hand's ledger of a topic, under the repository's lock. build is told which heads of other ledgers
// moved, for the first entry it appends. A ledger of the hand's that others
// have written into, that lost entries, or whose lock a dead process left, is left: the clone becomes a new replica.
func (k *Sealer) update(ctx context.Context, topic string, build func(*ledger.Tx, ledger.Name, []envelope.Head) error) error {
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	renewed := false
	for {
		name, err := k.ledger(topic)
		if err != nil {
			return err
		}
		var heads *sight
		early := k.takeRefs()
		err = ledger.Update(ctx, k.Session, k.seqOf, prefixes, early, func(tx *ledger.Tx) error {
			if err = k.held(tx); err != nil {
				return err
			}
			if tx.Stuck(name.Ref()) { // nobody else writes it, and we hold the repository's lock: who holds this one is dead
				return fmt.Errorf("%w: its lock is held", errForeign)
			}
			if heads, err = k.look(ctx, tx, name); err != nil {
				return err
			}
			if err = build(tx, name, heads.moved); err == nil && !tx.Stuck(RootRef) {
				tx.Hold(RootRef)
			}
			return err
		})
		if errors.Is(err, errForeign) && early != nil {
			continue // they were read before the lock was ours: another process of this writer has gone on since
		}
		if errors.Is(err, errForeign) && !renewed {
			renewed = true
			if err := RenewReplica(k.Session.Repo()); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if tip, err := heads.tx.Tip(name); err == nil && (len(heads.moved) == 0 || tip.Commit != heads.own) { // what nothing was written of is not named
			heads.remember(k.Session.Repo(), name)
		}
		return nil
	}
}

// Missed returns the ledgers whose writers are known and that could not be followed when the last entry was made: it does not
// name what is new in them.
func (k *Sealer) Missed() []string { return k.missed }

// held reports whether the hand's key still counts under the trust root as it is now: another process may have put a version
// in force since the hand was chosen. The transaction holds the root to what was looked at.
func (k *Sealer) held(tx *ledger.Tx) error {
	at, ok := tx.Refs()[RootRef]
	if !ok {
		return fmt.Errorf("%w: it is gone", ErrRootMoved)
	}
	if at == k.rootAt {
		return nil
	}
	e, err := readRoot(k.Session, at.String())
	if err != nil {
		return err
	}
	if e.ID() != k.Root.Digest {
		now, err := OpenRootAt(k.Session, at.String(), k.Root.Digest)
		if errors.Is(err, ErrRootMismatch) {
			return fmt.Errorf("%w: %s", ErrRootMoved, e.ID())
		}
		if err != nil {
			return err
		}
		id := k.Hand.Signer.Public().ID()
		if p, known := capability.Fold(Persons(now), nil, nil).ByKey(id); known && !p.Until.IsZero() {
			return fmt.Errorf("%w: %s of %s, by version %d of the trust root; nothing was written", ErrKeyRemoved, id, k.Hand.Principal.Name, now.Version)
		}
	}
	k.rootAt = at
	return nil
}

// takeRefs hands out the refs once: what is written next moves them.
func (k *Sealer) takeRefs() []git.Ref {
	refs := k.Refs
	k.Refs = nil
	return refs
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
			Principal: prov.Principal{Accountable: p.Accountable, Kind: p.Kind, Name: p.Name}, Ref: d.ref, Intent: k.Intent, Tool: k.Hand.Tool, Unrecorded: prov.Unrecorded(k.Intent != "", k.Hand.Tool != ""),
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
