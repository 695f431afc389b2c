package handoff

import (
	"context"
	"fmt"
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
