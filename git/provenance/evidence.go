package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrNoEvidence says that there is no evidence of that name or id.
var ErrNoEvidence = errors.New("no such evidence is here")

// Codes of what is wrong with evidence beside what a policy demands.
const (
	EvidenceInvalid    verdict.Code = "evidence.invalid"
	EvidenceUnknownKey verdict.Code = "evidence.unknown-key"
	EvidenceRepository verdict.Code = "evidence.repository"
	EvidenceElsewhere  verdict.Code = "evidence.elsewhere"
	EvidenceUnledgered verdict.Code = "evidence.not-in-ledger"
	EvidencePrincipal  verdict.Code = "evidence.principal"
	EvidenceNewer      verdict.Code = "evidence.newer" // a warning: the others count all the same
)

// Evidence is one statement of evidence that stands in a ledger, without the text of its output: see [Facts.ReadEvidence].
type Evidence struct {
	capability.Place
	Index     int // in its ledger, from 0
	Blob      oid.ID
	Statement *evidence.Statement
}

// keepEvidence takes in what an entry says. Texts of output are many and long, and are read again by who wants them.
func (f *Facts) keepEvidence(r entryRef, st *evidence.Statement) {
	st.Predicate.Run.Output.Head, st.Predicate.Run.Output.Tail = "", ""
	f.Evidence[st.Tree()] = append(f.Evidence[st.Tree()], Evidence{Place: r.place(), Index: r.i, Blob: r.entry().Blob, Statement: st})
}

// AllEvidence returns all evidence of ledgers, the newest first.
func (f *Facts) AllEvidence() []Evidence {
	var out []Evidence
	for _, list := range f.Evidence {
		out = append(out, list...)
	}
	SortEvidence(out)
	return out
}

// SortEvidence puts evidence in order, the newest first, by the times that it claims.
func SortEvidence(list []Evidence) {
	slices.SortFunc(list, func(a, b Evidence) int {
		if n := b.Time.Compare(a.Time); n != 0 {
			return n
		}
		if a.Ledger == b.Ledger {
			return b.Index - a.Index
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
}

// FindEvidence finds evidence by the beginning of its id, with or without "sha256:", or by its name: then the newest of the
// tree, where there is any, else the newest of all.
func (f *Facts) FindEvidence(what string, tree oid.ID) (Evidence, error) {
	all := f.AllEvidence()
	var found []Evidence
	for _, e := range all {
		if e.ID.Begins(what) {
			found = append(found, e)
		}
	}
	if len(found) > 1 {
		return Evidence{}, fmt.Errorf("%w: %q begins the id of %d", ErrNoEvidence, what, len(found))
	}
	if len(found) == 1 {
		return found[0], nil
	}
	for _, list := range [][]Evidence{slices.Clone(f.Evidence[tree]), all} {
		SortEvidence(list)
		for _, e := range list {
			if e.Statement.Predicate.Run.Name == what {
				return e, nil
			}
		}
	}
	return Evidence{}, fmt.Errorf("%w: %q", ErrNoEvidence, what)
}

// ReadEvidence reads a statement whole, with the text of its output. It is held to the identity that was verified.
func (f *Facts) ReadEvidence(s *git.Session, e Evidence) (*evidence.Statement, error) {
	o, err := s.Object(e.Blob.String(), envelope.MaxSize+1)
	if err != nil {
		return nil, err
	}
	env, err := ledger.ParseBlob(o.Data)
	if err != nil {
		return nil, err
	}
	opened, err := env.OpenPinned(envelope.TypeInToto, e.ID)
	if err != nil {
		return nil, err
	}
	return evidence.Parse(opened)
}

// ExamineEvidence returns the evidence about a tree that holds, the newest first, and what is wrong with what the ledgers and
// the note on the tree have beside it. A line that repeats an entry says nothing new.
func (f *Facts) ExamineEvidence(s *git.Session, tree oid.ID) ([]Evidence, []verdict.Finding, error) {
	var good []Evidence
	var out []verdict.Finding
	add := func(code verdict.Code, id envelope.Digest, hint, format string, a ...any) {
		out = append(out, verdict.Finding{Code: code, Object: string(id), Message: fmt.Sprintf(format, a...), Hint: hint})
	}
	here, told := map[envelope.Digest]bool{}, map[envelope.Digest]bool{}
	for _, e := range f.Evidence[tree] {
		here[e.ID] = true
		if why := f.claimed(e.Statement, e.KeyID); why != "" {
			add(EvidencePrincipal, e.ID, "covenant identity list", "%s", why)
			continue
		}
		good = append(good, e)
	}
	SortEvidence(good)
	if _, err := s.Object(notes.Ref, 1<<20); errors.Is(err, git.ErrMissing) {
		return good, out, nil
	}
	found, err := notes.Of(s, notes.Ref, tree)
	if err != nil {
		return nil, nil, err
	}
	for _, data := range found {
		for _, line := range envelope.Lines(data) {
			env, err := envelope.Parse(line)
			if err != nil {
				add(EvidenceInvalid, "", "covenant doctor --fix", "a line of the tree's note is no envelope: %v", err)
				continue
			}
			if here[env.ID()] {
				if _, _, err := openEnvelope(env, f.Root.ID, f.Authority.Ring); err != nil {
					add(EvidenceInvalid, env.ID(), "covenant doctor --fix", "a line of the tree's note is refused: %v", err)
				}
				continue
			}
			if told[env.ID()] {
				continue
			}
			told[env.ID()] = true
			st, h, err := openEnvelope(env, f.Root.ID, f.Authority.Ring)
			switch {
			case errors.Is(err, envelope.ErrNewer):
				add(EvidenceNewer, env.ID(), "update covenant", "it is newer than this program, which can't say what it is worth: %v", err)
			case errors.Is(err, envelope.ErrUnknownKey):
				add(EvidenceUnknownKey, env.ID(), "covenant identity list", "nobody here has the key that signed it: %v", err)
			case errors.Is(err, envelope.ErrRepository):
				add(EvidenceRepository, env.ID(), "covenant doctor --fix", "it is evidence of another repository: %v", err)
			case err != nil:
				add(EvidenceInvalid, env.ID(), "covenant doctor --fix", "it is refused: %v", err)
			case st.review != nil && st.review.Tree() == tree: // they stand there too
			case st.evidence == nil:
				add(EvidenceInvalid, env.ID(), "covenant doctor --fix", "a line of the tree's note is no evidence")
			case st.evidence.Tree() != tree:
				add(EvidenceElsewhere, env.ID(), "covenant doctor --fix", "it is evidence of tree %s, and somebody put it here", st.evidence.Tree().Short())
			default:
				add(EvidenceUnledgered, env.ID(), "covenant sync", "only the note has it: ledger %s does not, or is broken before it", h.Ledger())
			}
		}
	}
	return good, out, nil
}

// claimed says where a statement names another principal than the key's; "" where it does not.
func (f *Facts) claimed(st *evidence.Statement, keyID string) string {
	p, ok := f.Authority.ByKey(keyID)
	says := st.Predicate.Run.Principal
	switch {
	case !ok:
		return "nobody here has the key " + keyID
	case says.Name != p.Name || says.Kind != p.Kind || says.Accountable != p.Accountable:
		return fmt.Sprintf("it names %s (%s, under %s); the key is %s's (%s, under %s)", says.Name, says.Kind, says.Accountable, p.Name, p.Kind, p.Accountable)
	}
	return ""
}

// RecordEvidence appends evidence to the hand's ledger and puts it on its tree, in one transaction. Entry and principal are
// filled in.
func (k *Sealer) RecordEvidence(ctx context.Context, tree oid.ID, p evidence.Predicate) (ledger.Appended, error) {
	who := k.as()
	p.Run.Principal = evidence.Principal(who)
	subject := fmt.Sprintf("evidence.%s %s %s by %s", strings.ToLower(string(p.Result)), p.Run.Name, tree.Short(), who.Name)
	return k.Say(ctx, evidence.Topic, subject, tree, func(h envelope.Header) ([]byte, error) {
		p.Entry = h
		return evidence.New(tree, p).Encode()
	})
}

// Proofs returns what the judge may know of the evidence about a tree: facts, whoever asks.
func (f *Facts) Proofs(tree oid.ID) []verdict.Proof {
	var out []verdict.Proof
	for _, e := range f.Evidence[tree] {
		if f.claimed(e.Statement, e.KeyID) != "" {
			continue
		}
		p := &e.Statement.Predicate
		proof := verdict.Proof{
			ID: e.ID, KeyID: e.KeyID, Name: p.Run.Name, Argv: p.Run.Argv, Dir: p.Run.Dir, Passed: p.Result == evidence.Passed, Exit: p.Run.Exit, Edited: p.Run.Changed,
			Time: envelope.Timestamp(e.Time), Order: e.Index,
		}
		if p.Run.Tests != nil {
			proof.Failed = p.Run.Tests.Failed
		}
		if seen, ok := f.seenBy(e.Ledger, e.Index); ok {
			proof.Seen, proof.Time = seen.Time, min(proof.Time, seen.Time) // it was there before it says it was made
		}
		out = append(out, proof)
	}
	slices.SortFunc(out, func(a, b verdict.Proof) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}
