package handoff

import (
	"bufio"
	"context"
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

// ErrFormat says that a bundle is of a repository whose objects have names of another format.
var ErrFormat = errors.New("its objects have names of another format than those here")

// maxHeader bounds what is read of a bundle to find out its format.
const maxHeader = 64 << 10

// CheckFormat reports whether the objects of a bundle have names of this format, as its header says. What is no bundle is for Git to refuse. Error: ErrFormat.
func CheckFormat(file string, format oid.Format) error {
	f, err := os.Open(file) //nolint:gosec // the caller means it
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(io.LimitReader(f, maxHeader))
	if !in.Scan() || !strings.HasPrefix(in.Text(), "# v") || !strings.HasSuffix(in.Text(), " git bundle") {
		return nil
	}
	has := oid.SHA1.String()
	for in.Scan() && strings.HasPrefix(in.Text(), "@") {
		if name, ok := strings.CutPrefix(in.Text(), "@object-format="); ok {
			has = name
		}
	}
	if has != format.String() {
		return fmt.Errorf("%w: %.20q, not %s", ErrFormat, has, format)
	}
	return nil
}
