package handoff

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // what Git's packs end with
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// WriteBundle writes a file for git-bundle(1) with a handoff, all ledgers and the trust root: what a clone needs to verify and
// apply it without a network. Ledgers are whole, since an entry names others that it saw. Commits that remote-tracking branches have are left
// out, and the clone must have them. The file appears whole, or not at all.
func WriteBundle(ctx context.Context, s *git.Session, id envelope.Digest, file string) error {
	refs, err := s.Tips(ledger.Prefix, provenance.RootRef, Ref(id))
	if err != nil {
		return err
	}
	var in strings.Builder
	for _, r := range refs {
		fmt.Fprintln(&in, r.Name)
	}
	far, err := s.Tips("refs/remotes")
	if err != nil {
		return err
	}
	not := map[oid.ID]bool{}
	for _, r := range far {
		if !not[r.ID] {
			not[r.ID] = true
			fmt.Fprintf(&in, "^%s\n", r.ID)
		}
	}
	tmp, err := os.MkdirTemp(filepath.Dir(file), ".covenant-bundle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	at := filepath.Join(tmp, "bundle")
	if _, err := s.Repo().Run(ctx, strings.NewReader(in.String()), "bundle", "create", "--quiet", at, "--stdin"); err != nil {
		return err
	}
	return os.Rename(at, file)
}

// What is wrong with a file that should be a bundle.
var (
	ErrNoBundle = errors.New("it is no bundle of Git's")
	ErrDamaged  = errors.New("it was changed or cut off on its way")
	// ErrFormat says that a bundle is of a repository whose objects have names of another format.
	ErrFormat = errors.New("its objects have names of another format than those here")
)

// CheckBundle reads a bundle as it lies there: whether it is one, of objects with names of this format, and whole. Where all that it holds
// is here already Git would not look. Errors: ErrNoBundle, ErrFormat, ErrDamaged.
func CheckBundle(file string, format oid.Format) error {
	f, err := os.Open(file) //nolint:gosec // the caller means it
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	line, err := in.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(line, []byte("# v")) || !bytes.HasSuffix(line, []byte(" git bundle\n")) {
		return ErrNoBundle
	}
	has, named := oid.SHA1.String(), true
	for {
		if line, err = in.ReadSlice('\n'); err != nil { // no line of a header is as long as the buffer
			return ErrDamaged
		}
		text := strings.TrimSuffix(string(line), "\n")
		if text == "" {
			break
		}
		if name, ok := strings.CutPrefix(text, "@object-format="); ok {
			has = name
		}
		if !strings.HasPrefix(text, "@") {
			name, _, _ := strings.Cut(strings.TrimPrefix(text, "-"), " ")
			_, err := oid.Parse(name)
			named = named && err == nil
		}
	}
	switch {
	case has != format.String():
		return fmt.Errorf("%w: %.20q, not %s", ErrFormat, has, format)
	case !named:
		return ErrDamaged
	}
	return checkPack(in, format)
}

// checkPack holds a pack to the checksum that it ends with.
func checkPack(in io.Reader, format oid.Format) error {
	sum := sha1.New() //nolint:gosec // the format's, and no signature
	if format == oid.SHA256 {
		sum = sha256.New()
	}
	buf := make([]byte, 256<<10)
	kept := 0 // of what was read last: it may be the checksum
	for {
		n, err := io.ReadFull(in, buf[kept:])
		n += kept
		kept = min(n, sum.Size())
		sum.Write(buf[:n-kept])
		copy(buf, buf[n-kept:n])
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			if !bytes.Equal(buf[:kept], sum.Sum(nil)) {
				return ErrDamaged
			}
			return nil
		case err != nil:
			return err
		}
	}
}
