package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// wanted is the notes view that the ledgers call for, in the order in which it would have grown.
func (f *Facts) wanted(s *git.Session) ([]notes.Add, error) {
	return f.NotesOf(s, func(string, int) bool { return true })
}

// NotesOf returns what the notes view should show of the entries that want selects, by ledger and index.
func (f *Facts) NotesOf(s *git.Session, want func(ledger string, index int) bool) ([]notes.Add, error) {
	var cands []verdict.Candidate
	on := map[envelope.Digest]oid.ID{} // what they are about, of those that are no seals
	f.readAll()
	for _, list := range f.seals {
		for _, c := range list {
			if c.Seal != nil && want(c.Ledger, c.Index) {
				cands = append(cands, c)
			}
		}
	}
	for tree, list := range f.Evidence {
		for i := range list {
			e := &list[i]
			if want(e.Ledger, e.Index) {
				on[e.ID] = tree
				cands = append(cands, verdict.Candidate{ID: e.ID, Blob: e.Blob, Header: e.Statement.Predicate.Entry})
			}
		}
	}
	for i := range f.Reviews {
		r := &f.Reviews[i]
		if who, ok := f.Authority.ByKey(r.KeyID); ok && noted(r.Statement.Predicate.Verdict, who.Kind) && want(r.Ledger, r.Index) {
			on[r.ID] = r.Statement.Tree()
			cands = append(cands, verdict.Candidate{ID: r.ID, Blob: r.Blob, Header: r.Statement.Predicate.Entry})
		}
	}
	for i := range f.Attested {
		if e := &f.Attested[i]; !e.Statement.Predicate.Tag.IsZero() && want(e.Ledger, e.Index) {
			on[e.ID] = e.Statement.Predicate.Tag
			cands = append(cands, verdict.Candidate{ID: e.ID, Blob: e.Blob, Header: e.Statement.Predicate.Entry})
		}
	}
	slices.SortFunc(cands, func(a, b verdict.Candidate) int {
		if n := a.Header.When().Compare(b.Header.When()); n != 0 {
			return n
		}
		if a.Header.Ledger() == b.Header.Ledger() {
			return int(a.Header.Seq) - int(b.Header.Seq) //nolint:gosec // bounded by envelope.Header.Check
		}
		return bytes.Compare([]byte(a.Header.Ledger()), []byte(b.Header.Ledger()))
	})
	var adds []notes.Add
	i := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, c := range cands {
			if !yield(c.Blob.String()) {
				return
			}
		}
	}, envelope.MaxSize+1) {
		if i >= len(cands) {
			break
		}
		c := cands[i]
		i++
		if err != nil {
			return nil, fmt.Errorf("envelope %s: %w", c.ID.Short(), err)
		}
		line := bytes.TrimSuffix(o.Data, []byte{'\n'})
		if c.Seal == nil {
			adds = append(adds, notes.Add{Object: on[c.ID], Line: line, Blob: c.Blob})
			continue
		}
		adds = append(adds, linesFor(s.Repo().Format(), c.Seal.Commit(), c.ID, c.Seal.Predicate.Changes, line, c.Blob)...)
	}
	return adds, nil
}

// NotesDamage compares the notes view with what the ledgers call for. Lines on
// commits that no ledger knows are junk; missing pointers on blobs are told in sum.
func (f *Facts) NotesDamage(s *git.Session) ([]verdict.Finding, error) {
	adds, err := f.wanted(s)
	if err != nil {
		return nil, err
	}
	have := map[oid.ID][][]byte{}
	var out []verdict.Finding
	bad := func(code verdict.Code, object, format string, a ...any) {
		out = append(out, verdict.Finding{Code: code, Object: object, Message: fmt.Sprintf(format, a...), Hint: "covenant doctor --fix"})
	}
	list, err := notes.List(s, notes.Ref)
	switch {
	case err == nil:
	case errors.Is(err, git.ErrMissing):
		if _, rerr := s.Object(notes.Ref, 1<<20); errors.Is(rerr, git.ErrMissing) {
			if len(adds) > 0 {
				bad(verdict.NoteMissing, notes.Ref, "the notes view is not in this clone")
			}
			return out, nil
		}
		fallthrough
	default:
		bad(verdict.NoteJunk, notes.Ref, "the notes view can't be read: %v", err)
		return out, nil
	}
	i := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, n := range list {
			if !yield(n.Blob.String()) {
				return
			}
		}
	}, envelope.MaxSize+1) {
		if i >= len(list) {
			break
		}
		n := list[i]
		i++
		if err != nil {
			bad(verdict.NoteJunk, n.Object.String(), "its note can't be read: %v", err)
			continue
		}
		have[n.Object] = append(have[n.Object], envelope.Lines(o.Data)...)
	}
	want := map[oid.ID]map[string]bool{}
	pointers := 0
	for _, a := range adds {
		if want[a.Object] == nil {
			want[a.Object] = map[string]bool{}
		}
		want[a.Object][string(a.Line)] = true
		if !slices.ContainsFunc(have[a.Object], func(l []byte) bool { return bytes.Equal(l, a.Line) }) {
			if a.Hint {
				if len(have[a.Object]) < notes.MaxPointers {
					pointers++
				}
				continue
			}
			bad(verdict.NoteMissing, a.Object.String(), "its note lacks a statement that a ledger has")
		}
	}
	if pointers > 0 {
		bad(verdict.NotePointers, notes.Ref, "%d pointers on changed blobs are missing", pointers)
	}
	for object, lines := range have {
		told := 0
		for _, l := range lines {
			if told == maxJunk {
				break
			}
			if want[object][string(l)] || f.keeps(l, object) {
				continue
			}
			env, err := envelope.Parse(l)
			known := err == nil && f.byID[env.ID()] != (oid.ID{})
			if known && f.copied(env, object) {
				continue
			}
			if told++; known {
				bad(verdict.NoteElsewhere, object.String(), "its note has a statement about another object")
			} else {
				bad(verdict.NoteJunk, object.String(), "its note has a line that no ledger knows: %.60q", l)
			}
		}
	}
	return out, nil
}

// copied reports whether a statement is a seal of what a commit was made of: git notes copies it at a rewrite, where it is told to.
func (f *Facts) copied(env *envelope.Envelope, object oid.ID) bool {
	st, _, err := openEnvelope(env, f.Root.ID, f.ring)
	return err == nil && st.seal != nil && f.cameOf(object, st.seal.Commit())
}

// keeps reports whether a line that no ledger calls for may stay all the same: a seal, or evidence, by a known key, which proves that
// its ledger lost an entry, or that is of a repository which this one replaces.
func (f *Facts) keeps(line []byte, object oid.ID) bool {
	if _, err := notes.ParsePointer(line); err == nil {
		return true // a hint; its seal may come with the next fetch
	}
	env, err := envelope.Parse(line)
	if err != nil {
		return false
	}
	st, h, err := openEnvelope(env, f.Root.ID, f.ring)
	if errors.Is(err, envelope.ErrRepository) && f.Root.Replaces(h.Repository) {
		err = nil // of the repository this one replaces: it is read there
	}
	switch {
	case err != nil:
	case st.seal != nil:
		return st.seal.Commit() == object
	case st.evidence != nil:
		return st.evidence.Tree() == object
	case st.review != nil:
		return st.review.Tree() == object
	case st.release != nil:
		return st.release.Predicate.Tag == object
	}
	return false
}

// RebuildNotes writes the notes view anew from the ledgers, both as they are
// under the repository's lock. Lines of the old view that prove something the
// ledgers lack are kept.
func RebuildNotes(ctx context.Context, s *git.Session, pin envelope.Digest, now time.Time) error {
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := Load(ctx, s, pin)
	if err != nil {
		return err
	}
	adds, err := f.wanted(s)
	if err != nil {
		return err
	}
	list, broken := notes.List(s, notes.Ref)
	if broken == nil {
		for _, n := range list {
			o, err := s.Object(n.Blob.String(), envelope.MaxSize+1)
			if err != nil {
				continue
			}
			for _, l := range envelope.Lines(o.Data) {
				if f.keeps(l, n.Object) {
					adds = append(adds, notes.Add{Object: n.Object, Line: l})
				}
			}
		}
	}
	return ledger.Update(ctx, s, nil, []string{notes.Ref}, nil, func(tx *ledger.Tx) error {
		base := tx.Refs()[notes.Ref]
		if broken != nil {
			base = oid.ID{} // nothing can follow what can't be read
		}
		tip, err := notes.Rebuild(s, base, notes.Ident(now), "rebuilt from ledgers", adds)
		if err != nil {
			return err
		}
		tx.Set(notes.Ref, tip)
		return nil
	})
}

// RootWrapped returns what the ref of the trust root points at when that is no commit: a tag of one reads like a version,
// and no version can follow it.
func RootWrapped(s *git.Session) (git.Ref, bool, error) {
	refs, err := s.Refs(RootRef)
	if err != nil || len(refs) != 1 || refs[0].Kind == "commit" {
		return git.Ref{}, false, err
	}
	return refs[0], true, nil
}

// UnwrapRoot moves the ref of the trust root to the version that it wraps, when that one verifies from the pin.
func UnwrapRoot(s *git.Session, pin envelope.Digest) error {
	ref, ok, err := RootWrapped(s)
	if err != nil || !ok {
		return err
	}
	c, err := s.Commit(ref.ID.String() + "^{commit}")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRootHistory, err)
	}
	if _, err := OpenWhole(s, c.ID.String(), pin); err != nil {
		return err
	}
	return s.Update("covenant doctor", git.RefUpdate{Name: RootRef, New: c.ID, Old: ref.ID})
}

// Storage is what Covenant keeps in a repository.
type Storage struct {
	Ledgers int   `json:"ledgers"`
	Entries int   `json:"entries"`
	Refs    int   `json:"refs"`
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"` // on disk, as packed now
}

// Count measures what the refs of Covenant hold that branches, tags and remotes do not.
func Count(ctx context.Context, s *git.Session) (Storage, error) {
	var st Storage
	refs, err := s.Refs("refs/covenant/", notes.Ref)
	if err != nil {
		return st, err
	}
	args := []string{"rev-list", "--objects"}
	var tips []string
	for _, r := range refs {
		st.Refs++
		if r.Kind == "commit" {
			tips = append(tips, r.Name)
		}
		if _, ok := ledger.ParseRef(r.Name); ok {
			st.Ledgers++
		}
	}
	if len(tips) == 0 {
		return st, nil
	}
	args = append(append(args, tips...), "--not", "--branches", "--tags", "--remotes")
	out, err := s.Repo().Run(ctx, nil, append(slices.Clone(args), "--no-object-names")...)
	if err != nil {
		return st, err
	}
	st.Objects = int64(bytes.Count(out, []byte{'\n'}))
	if out, err = s.Repo().Run(ctx, nil, append([]string{"rev-list", "--disk-usage", "--objects"}, args[2:]...)...); err != nil {
		return st, err
	}
	if _, err := fmt.Sscan(string(out), &st.Bytes); err != nil {
		return st, fmt.Errorf("git rev-list --disk-usage: %w", err)
	}
	for c, err := range s.Log(git.LogQuery{Globs: []string{ledger.Prefix + "*"}, IgnoreMissing: true}) {
		if err != nil {
			return st, err
		}
		_ = c
		st.Entries++
	}
	return st, nil
}
