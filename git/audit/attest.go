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
	"github.com/open-covenant/covenant-git/git/oid"
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

// Next returns what the next attestation goes on from: the last that holds; none where there is none. signed are the checkpoints.
func Next(s *git.Session, f *provenance.Facts, signed []provenance.Signed, now time.Time) (last provenance.Attested, ok bool) {
	for _, a := range f.Attestations() {
		if wrong := Attested(s, f, signed, &a, now); !slices.ContainsFunc(wrong, func(w verdict.Finding) bool { return w.Code != provenance.AttestationUnknown }) {
			last, ok = a, true
		}
	}
	return last, ok
}

// Attested returns what is wrong with an attestation, but for its files: that its signer may not make it, that what it goes on from is
// not there or says more than it does, that the ledgers do not make the tree of its checkpoint, that its tag or its commits are others.
// What can't be told since it is not here has the code attestation.not-here.
func Attested(s *git.Session, f *provenance.Facts, signed []provenance.Signed, a *provenance.Attested, now time.Time) []verdict.Finding {
	var out []verdict.Finding
	add := func(code verdict.Code, hint, format string, args ...any) {
		out = append(out, verdict.Finding{Code: code, Object: string(a.ID), Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	p := &a.Statement.Predicate
	if by, ok := f.Authority.ByKey(a.KeyID); !ok || by.Name != p.Principal.Name || by.Kind != p.Principal.Kind || by.Accountable != p.Principal.Accountable {
		add(provenance.AttestationPrincipal, "covenant identity list", "it names %s (%s, under %s), whose key %s is not", p.Principal.Name, p.Principal.Kind, p.Principal.Accountable, a.KeyID)
	}
	if err := f.AllowedThen(a.Place, a.Index, provenance.AttestAction, now); err != nil {
		add(provenance.AttestationAuthority, "covenant capability list", "%v", err)
	}
	size, err := record(signed, p.Checkpoint)
	if err != nil {
		add(provenance.AttestationRecord, "covenant audit checkpoints", "%v", err)
	}
	if p.Previous != "" {
		i := slices.IndexFunc(f.Attested, func(x provenance.Attested) bool { return x.ID == p.Previous })
		if i < 0 {
			add(provenance.AttestationChain, "covenant sync", "it goes on from %s, which is not here", p.Previous.Short())
		} else if before, err := record(signed, f.Attested[i].Statement.Predicate.Checkpoint); err == nil && before > size {
			add(provenance.AttestationChain, "covenant audit checkpoints", "it goes on from %s, which had seen %d entries, and has seen %d", p.Previous.Short(), before, size)
		}
	}
	for i := range f.Attested { // whoever was first is told by the ledgers alone: both are named
		if o := &f.Attested[i]; o.ID != a.ID && o.Statement.Predicate.Previous == p.Previous && f.AllowedThen(o.Place, o.Index, provenance.AttestAction, now) == nil {
			what := "begins, as this one does"
			if p.Previous != "" {
				what = "goes on from " + p.Previous.Short() + ", too"
			}
			add(provenance.AttestationChain, "covenant audit attestations", "%s %s", o.ID.Short(), what)
		}
	}
	scope, err := provenance.ScopeOf(s, p.Scope.From, p.Commit)
	switch {
	case err != nil:
		add(provenance.AttestationUnknown, "git fetch --unshallow --tags", "its commits are not all here: %v", err)
	case scope != p.Scope:
		add(provenance.AttestationScope, "", "it is of %d commits (%.12s…); there are %d (%.12s…)", p.Scope.Commits, p.Scope.SHA256, scope.Commits, scope.SHA256)
	}
	if p.TagName == "" {
		return out
	}
	at, err := provenance.HeadOf(s, p.TagName)
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
func record(signed []provenance.Signed, c release.Checkpoint) (uint64, error) {
	i := slices.IndexFunc(signed, func(x provenance.Signed) bool { return x.ID == c.Entry })
	if i < 0 {
		return 0, fmt.Errorf("its checkpoint %s is not here", c.Entry.Short())
	}
	x := &signed[i]
	switch {
	case x.Err != nil:
		return 0, fmt.Errorf("its checkpoint %s: %w", c.Entry.Short(), x.Err)
	case x.Note == nil || string(x.Note.Bytes()) != c.Note:
		return 0, fmt.Errorf("it has another text than its checkpoint %s", c.Entry.Short())
	}
	return x.Tree.Size, nil
}

// TagOf finds a tag by its name, and what it leads to.
func TagOf(s *git.Session, name string) (provenance.Head, error) {
	h, err := provenance.HeadOf(s, "refs/tags/"+name)
	if err == nil && (h.ID.IsZero() || h.Commit.IsZero()) {
		err = fmt.Errorf("%w: tag %q", provenance.ErrRevision, name)
	}
	return h, err
}

// Envelope reads the envelope of an attestation.
func Envelope(s *git.Session, blob oid.ID) ([]byte, error) {
	o, err := s.Object(blob.String(), envelope.MaxSize)
	return o.Data, err
}
