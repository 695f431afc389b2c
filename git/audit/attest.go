package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// maxFile bounds a file of a release, in bytes.
const maxFile = 1 << 40

// Artifacts reads the files of a release: all regular files below a directory, by their paths.
func Artifacts(dir fs.FS) ([]release.Artifact, error) {
	var out []release.Artifact
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file", name)
		case len(out) == release.MaxArtifacts:
			return fmt.Errorf("more than %d files", release.MaxArtifacts)
		}
		a, err := artifact(dir, name)
		out = append(out, a)
		return err
	})
	slices.SortFunc(out, func(a, b release.Artifact) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return out, err
}

func artifact(dir fs.FS, name string) (release.Artifact, error) {
	if info, err := fs.Stat(dir, name); err == nil && !info.Mode().IsRegular() { // to open a pipe waits for whoever writes it
		return release.Artifact{}, fmt.Errorf("%s is no regular file", name)
	}
	f, err := dir.Open(name)
	if err != nil {
		return release.Artifact{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxFile))
	return release.Artifact{Name: path.Clean(name), SHA256: hex.EncodeToString(h.Sum(nil)), Size: n}, err
}

// CheckArtifacts compares the files that an attestation names with those below a directory. Files that it does not name are no matter of
// it.
func CheckArtifacts(dir fs.FS, st *release.Statement) []verdict.Finding {
	var out []verdict.Finding
	bad := func(name, format string, a ...any) {
		out = append(out, verdict.Finding{Code: provenance.AttestationArtifact, Path: name, Object: st.Predicate.ID, Message: fmt.Sprintf(format, a...)})
	}
	if len(st.Predicate.Artifacts) == 0 {
		bad("", "it names no file")
	}
	for _, want := range st.Predicate.Artifacts {
		have, err := artifact(dir, want.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			bad(want.Name, "it is not there")
		case err != nil:
			bad(want.Name, "it can't be read: %v", err)
		case have.SHA256 != want.SHA256:
			bad(want.Name, "it has %d bytes with the digest %s; attested are %d with %s", have.Size, have.SHA256, want.Size, want.SHA256)
		case have.Size != want.Size:
			bad(want.Name, "it has %d bytes, and is attested with %d", have.Size, want.Size)
		}
	}
	return out
}

// Others counts the files below a directory that an attestation does not name, of whatever kind, and returns the first few of their names.
func Others(dir fs.FS, st *release.Statement) (n int, few []string, err error) {
	named := make(map[string]bool, len(st.Predicate.Artifacts))
	for _, a := range st.Predicate.Artifacts {
		named[a.Name] = true
	}
	err = fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || named[name] {
			return err
		}
		if n++; len(few) < 4 {
			few = append(few, name)
		}
		return nil
	})
	return n, few, err
}

// Attestations are those of the ledgers, and what they are held to.
type Attestations struct {
	List []provenance.Attested // in the order in which they follow each other

	s      *git.Session
	f      *provenance.Facts
	signed map[envelope.Digest]*provenance.Signed // checkpoints
	by     map[envelope.Digest]*provenance.Attested
	after  map[envelope.Digest][]*provenance.Attested // those by who may that go on from one, the first first
	named  map[string][]*provenance.Attested          // likewise of one release
	denied map[envelope.Digest]error
}

// OpenAttestations reads the attestations of the ledgers.
func OpenAttestations(s *git.Session, f *provenance.Facts, now time.Time) (*Attestations, error) {
	list, err := f.Signed(now)
	if err != nil {
		return nil, err
	}
	l := &Attestations{
		List: f.Attestations(), s: s, f: f, signed: make(map[envelope.Digest]*provenance.Signed, len(list)), by: map[envelope.Digest]*provenance.Attested{},
		after: map[envelope.Digest][]*provenance.Attested{}, named: map[string][]*provenance.Attested{}, denied: map[envelope.Digest]error{},
	}
	for i := range list {
		l.signed[list[i].ID] = &list[i]
	}
	for i := range l.List {
		a := &l.List[i]
		l.by[a.ID] = a
		if err := f.AllowedThen(a.Place, provenance.AttestAction, now); err != nil {
			l.denied[a.ID] = err
			continue
		}
		p := &a.Statement.Predicate
		l.after[p.Previous] = append(l.after[p.Previous], a)
		if p.ID != "" {
			l.named[p.ID] = append(l.named[p.ID], a)
		}
	}
	earlier := func(a, b *provenance.Attested) int { return f.Earlier(a.Place, b.Place) }
	for _, list := range l.after {
		slices.SortFunc(list, earlier)
	}
	for _, list := range l.named {
		slices.SortFunc(list, earlier)
	}
	return l, nil
}

// Counts reports whether an attestation is by who may make it. One that is not keeps nobody from anything.
func (l *Attestations) Counts(a *provenance.Attested) bool { return l.denied[a.ID] == nil }

// Of returns the first attestation of a release that counts; nil where there is none.
func (l *Attestations) Of(name string) *provenance.Attested {
	if list := l.named[name]; len(list) > 0 {
		return list[0]
	}
	return nil
}

// Last returns what the next attestation goes on from: the last that holds, or of which only something is not here; false where there is none.
func (l *Attestations) Last() (last *provenance.Attested, ok bool) {
	for i := range l.List {
		wrong := l.Wrong(&l.List[i])
		if !slices.ContainsFunc(wrong, func(w verdict.Finding) bool { return w.Code != provenance.AttestationUnknown }) {
			last, ok = &l.List[i], true
		}
	}
	return last, ok
}

// Wrong returns what is wrong with an attestation, but for its files: that its signer may not make it, that what it goes on from is
// not there or says more than it does, that another one went on from that before, that the ledgers do not make the tree of its checkpoint, that its tag or its
// commits are others. What can't be told since it is not here has the code attestation.not-here.
func (l *Attestations) Wrong(a *provenance.Attested) []verdict.Finding {
	var out []verdict.Finding
	add := func(code verdict.Code, hint, format string, args ...any) {
		out = append(out, verdict.Finding{Code: code, Object: string(a.ID), Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	p := &a.Statement.Predicate
	if err := l.denied[a.ID]; err != nil { // nothing of it counts, and nothing more is looked at
		add(provenance.AttestationAuthority, "covenant capability list", "%v", err)
		return out
	}
	if by, ok := l.f.Authority.ByKey(a.KeyID); !ok || by.Name != p.Principal.Name || by.Kind != p.Principal.Kind || by.Accountable != p.Principal.Accountable {
		add(provenance.AttestationPrincipal, "covenant identity list", "it names %s (%s, under %s), whose key %s is not", p.Principal.Name, p.Principal.Kind, p.Principal.Accountable, a.KeyID)
	}
	size, err := l.record(p.Checkpoint)
	if err != nil {
		add(provenance.AttestationRecord, "covenant audit checkpoints", "%v", err)
	}
	if before := l.by[p.Previous]; p.Previous != "" && before == nil {
		add(provenance.AttestationChain, "covenant sync", "it goes on from %s, which is not here", p.Previous.Short())
	} else if before != nil {
		if had, unknown := l.record(before.Statement.Predicate.Checkpoint); err == nil && unknown == nil && had > size {
			add(provenance.AttestationChain, "covenant audit checkpoints", "it goes on from %s, which had seen %d entries, and has seen %d", p.Previous.Short(), had, size)
		}
	}
	if first := l.after[p.Previous][0]; first.ID != a.ID {
		what := "begins"
		if p.Previous != "" {
			what = "goes on from " + p.Previous.Short()
		}
		add(provenance.AttestationChain, "attest it anew: covenant audit attest", "%s %s, and was there before this one, which does too", first.ID.Short(), what)
	}
	if first := l.Of(p.ID); first != nil && first.ID != a.ID {
		add(provenance.AttestationChain, "another build has another name: covenant audit attest", "%s was attested before, as %s", p.ID, first.ID.Short())
	}
	scope, err := provenance.ScopeOf(l.s, p.Scope.From, p.Commit)
	switch {
	case err != nil:
		add(provenance.AttestationUnknown, "git fetch --unshallow --tags", "its commits are not all here: %v", err)
	case scope != p.Scope:
		add(provenance.AttestationScope, "", "it is of %d commits (%.12s…); there are %d (%.12s…)", p.Scope.Commits, p.Scope.SHA256, scope.Commits, scope.SHA256)
	}
	if p.TagName == "" {
		return out
	}
	at, err := provenance.HeadOf(l.s, p.TagName)
	switch {
	case err != nil || at.ID.IsZero():
		add(provenance.AttestationUnknown, "git fetch --tags", "%s is not here", p.TagName)
	case at.ID != p.Tag:
		add(provenance.AttestationTag, "", "%s is %s, and is attested as %s", p.TagName, at.ID.Short(), p.Tag.Short())
	case at.Commit != p.Commit:
		add(provenance.AttestationTag, "", "%s leads to commit %s, and is attested with %s", p.TagName, at.Commit.Short(), p.Commit.Short())
	}
	return out
}

// record returns how many entries a checkpoint is of, where the ledgers make it.
func (l *Attestations) record(c release.Checkpoint) (uint64, error) {
	x := l.signed[c.Entry]
	switch {
	case x == nil:
		return 0, fmt.Errorf("its checkpoint %s is not here", c.Entry.Short())
	case x.Err != nil:
		return 0, fmt.Errorf("its checkpoint %s: %w", c.Entry.Short(), x.Err)
	case x.Note == nil || string(x.Note.Bytes()) != c.Note:
		return 0, fmt.Errorf("it has another text than its checkpoint %s", c.Entry.Short())
	}
	return x.Tree.Size, nil
}
