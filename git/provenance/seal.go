package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"github.com/open-covenant/covenant-git/git/treepath"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// ErrKeyRemoved says that the trust root has let the hand's key go since the hand was chosen: choose anew, and try again.
var ErrKeyRemoved = errors.New("the key was removed meanwhile")

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
	// StateOf tells what the intent of an id came to, where that is known for little: nil where it is not. nil: nobody tells.
	StateOf func(ctx context.Context, id string) *prov.IntentState
	Now     func() time.Time
	Locked  bool      // the caller holds the repository's lock
	Again   bool      // seal also what this key has sealed already
	Refs    []git.Ref // ledgers and notes as they were just read, by [AuthorityFor]; nil: they are read
	Far     bool      // look at all that moved in other ledgers, however much that is, and name it

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
	base    oid.ID // tree of its first parent; zero where it has none
	bound   prov.Bound
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
	return k.sealAfter(ctx, mode, ref, commits, func() error { return nil })
}

// sealAfter is Seal; first is done when all of it is allowed, and before anything is sealed.
func (k *Sealer) sealAfter(ctx context.Context, mode prov.Mode, ref string, commits []git.Commit, first func() error) ([]Made, error) {
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
		d, err := k.draft(ctx, mode, ref, c)
		if err != nil {
			return nil, err
		}
		drafts = append(drafts, d)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	if k.StateOf != nil && prov.IsIntentID(k.Intent) {
		state := k.StateOf(ctx, k.Intent)
		if state != nil && state.Statements > prov.MaxStatements {
			state = nil // nobody would follow so many: what it came to is not named
		}
		for i := range drafts {
			drafts[i].bound.IntentState = state
		}
	}
	queries := make([]capability.Query, len(drafts))
	for i := range drafts {
		queries[i] = drafts[i].query
	}
	ledger.Ahead(k.Session) // whatever is decided is recorded
	for i, d := range k.decideAll(queries) {
		if why := drafts[i].unsafe(); why != "" {
			d.Allowed, d.Reason = false, why
		}
		if drafts[i].answer = d; !d.Allowed {
			return nil, k.deny(ctx, mode, &drafts[i])
		}
	}
	if err := first(); err != nil {
		return nil, err
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

// SealedByAny reports whether the note of a commit has a seal of it by somebody known.
func (k *Sealer) SealedByAny(ctx context.Context, commit oid.ID) (bool, error) {
	return k.noted(ctx, commit, func(*prov.Seal, envelope.Header, string) (bool, error) { return true, nil })
}

// maxNoted is how many statements of a note are opened: whoever writes notes could make it any number.
const maxNoted = 256

// noted reports whether the note of a commit has a seal of it that is so, by somebody known. What is beyond the limit is not looked at.
func (k *Sealer) noted(ctx context.Context, commit oid.ID, is func(seal *prov.Seal, h envelope.Header, keyID string) (bool, error)) (bool, error) {
	found, err := notes.Of(k.Session, notes.Ref, commit)
	if err != nil && !errors.Is(err, notes.ErrUnreadable) {
		return false, err
	}
	known := map[envelope.Digest]bool{}
	for _, data := range found {
		for _, line := range envelope.Lines(data) {
			env, err := envelope.Parse(line)
			if err != nil || known[env.ID()] {
				continue
			}
			if known[env.ID()] = true; len(known) > maxNoted {
				return false, nil
			}
			st, h, ok, err := k.open(ctx, env)
			if err != nil {
				return false, err
			}
			if !ok || st.seal == nil || st.seal.Commit() != commit {
				continue
			}
			if is, err := is(st.seal, h, env.KeyIDs()[0]); err != nil || is {
				return is, err
			}
		}
	}
	return false, nil
}

// RefusedLately returns the commits of which the newest entries of the hand's own ledger say that they were refused.
func (k *Sealer) RefusedLately() (map[oid.ID]bool, error) {
	found, err := k.newest()
	if err != nil {
		return nil, err
	}
	out := map[oid.ID]bool{}
	mine := k.Hand.Signer.Public()
	for _, data := range found {
		env, err := ledger.ParseBlob(data)
		if err != nil {
			continue
		}
		st, _, err := openEnvelope(env, k.Root.ID, func(id string) (envelope.Key, bool) { return mine, id == mine.ID() })
		if err == nil && st.decision != nil && !st.decision.Allowed {
			out[st.decision.Commit] = true
		}
	}
	return out, nil
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

func (k *Sealer) draft(ctx context.Context, mode prov.Mode, ref string, c git.Commit) (draft, error) {
	d := draft{commit: c, mode: mode, ref: ref}
	if !k.Hand.Principal.Commits(c.Committer.Email) {
		d.mode = prov.Vouching // somebody else's commit can only be vouched for
	}
	d.query = capability.Query{KeyID: k.Hand.Signer.Public().ID(), Action: d.action(), At: k.Now(), Ref: ref, Intent: k.Intent}
	var err error
	if d.base, d.changes, d.query.Changes, err = k.brings(&c); err != nil {
		return d, err
	}
	d.bound, err = k.bind(ctx, &d)
	return d, err
}

// brings returns what a commit changes against each parent, and as who may is asked; base is the tree of its first parent.
func (k *Sealer) brings(c *git.Commit) (base oid.ID, list [][]prov.Change, touched []pluginapi.Change, err error) {
	pairs := []git.TreePair{{New: c.Tree}}
	if len(c.Parents) > 0 {
		pairs = pairs[:0]
		for _, p := range c.Parents {
			pc, err := k.Session.Commit(p.String())
			if err != nil {
				return base, nil, nil, fmt.Errorf("parent %s of %s: %w", p.Short(), c.ID.Short(), err)
			}
			pairs = append(pairs, git.TreePair{Old: pc.Tree, New: c.Tree})
		}
	}
	if list, err = changes(k.Session, pairs); err != nil {
		return base, nil, nil, fmt.Errorf("commit %s: %w", c.ID.Short(), err)
	}
	raw := make([][]prov.Raw, len(list))
	for i := range list {
		raw[i] = prov.RawOf(list[i])
	}
	touched, err = Touched(k.Session, k.Authority, raw)
	return pairs[0].Old, list, touched, err
}

// unsafe says of what the commit has that Git checks out no such path, "" where there is none: whatever a grant allows, it never verifies.
func (d *draft) unsafe() string {
	for i := range d.query.Changes {
		c := &d.query.Changes[i]
		if why := treepath.Unsafe(string(c.Path)); c.NewMode != "" && why != "" {
			return fmt.Sprintf("path %q: Git checks out no such path: %s", c.Path, why)
		}
	}
	return ""
}

func (d *draft) action() string {
	if d.mode == prov.Vouching {
		return capability.Vouch
	}
	return capability.Commit
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
		says := prov.Predicate{
			Bound: d.bound, Attended: k.Hand.Attended, Changes: d.changes, Decision: decision, Entry: k.header(name, seq, prev, heads, now), Grants: body.Grants, Mode: d.mode, Parents: body.Parents,
			Principal: prov.Principal{Accountable: p.Accountable, Kind: p.Kind, Name: p.Name}, Ref: d.ref, Intent: k.Intent, Tool: k.Hand.Tool,
		}
		says.Unrecorded = says.LeftOut()
		payload, err := prov.NewSeal(d.commit.ID, d.commit.Tree, says).Encode()
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

func subjects(d []draft) string {
	if len(d) == 1 {
		return d[0].commit.ID.Short()
	}
	return fmt.Sprintf("%s and %d more", d[0].commit.ID.Short(), len(d)-1)
}
