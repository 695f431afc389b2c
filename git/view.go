package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// In a partial clone Git fetches a missing object from the promisor remote the moment it is read.
// A reader must neither talk to the network nor hang: the object is simply missing. Git 2.45 and
// newer obey GIT_NO_LAZY_FETCH. Older ones do not, or die on the first missing object after
// looking through all promisor packs. For those, reading children are given a view: a temporary
// common directory with a configuration that has no promisor remotes, and links to the real refs;
// objects and HEAD are the real ones.

// view is such a directory.
type view struct {
	dir string
	env []string
}

// Partial reports whether the repository is a partial clone: objects may be missing, and nothing is wrong with that.
func (r *Repo) Partial() bool { return r.promisor() }

// promisor reports whether the repository is a partial clone.
func (r *Repo) promisor() bool {
	if _, ok := r.config.Get("extensions.partialclone"); ok {
		return true
	}
	for _, key := range r.config.Keys("remote.") {
		if strings.HasSuffix(key, ".promisor") && r.config.Bool(key, true) || strings.HasSuffix(key, ".partialclonefilter") {
			return true
		}
	}
	return false
}

// needsView asks Git for its version.
func (r *Repo) needsView(ctx context.Context) (bool, error) {
	out, err := r.capture(ctx, r.env, nil, headerLimit, "version")
	if err != nil {
		return false, err
	}
	major, minor, ok := parseVersion(string(out))
	return !ok || major < 2 || major == 2 && minor < 45, nil
}

// parseVersion reads "git version 2.39.5 (vendor)".
func parseVersion(s string) (major, minor int, ok bool) {
	s, ok = strings.CutPrefix(s, "git version ")
	if !ok {
		return 0, 0, false
	}
	a, rest, _ := strings.Cut(s, ".")
	b, _, _ := strings.Cut(rest, ".")
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(strings.TrimSpace(b))
	return major, minor, err1 == nil && err2 == nil
}

// makeView builds the view.
func (r *Repo) makeView() (*view, error) {
	dir, err := os.MkdirTemp("", "covenant-git-view-")
	if err != nil {
		return nil, fmt.Errorf("make a view without promisor remotes: %w", err)
	}
	v := &view{dir: dir}
	config := "[core]\n\trepositoryFormatVersion = 0\n\tbare = true\n"
	if r.format == oid.SHA256 {
		config = "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n"
	}
	err = os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600)
	for _, name := range []string{"refs", "packed-refs", "shallow"} {
		if err == nil {
			err = os.Symlink(filepath.Join(r.commonDir, name), filepath.Join(dir, name))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a view without promisor remotes: %w", err), v.remove())
	}
	v.env = withEnv(r.env, "GIT_DIR="+r.gitDir, "GIT_COMMON_DIR="+dir, "GIT_OBJECT_DIRECTORY="+r.objectDir(),
		"GIT_WORK_TREE", "GIT_ALLOW_PROTOCOL=")
	return v, nil
}

func (v *view) remove() error {
	if v == nil {
		return nil
	}
	return os.RemoveAll(v.dir)
}

// objectDir is where new objects go: a quarantine when the environment names one.
func (r *Repo) objectDir() string {
	if d, _ := lookupEnv(r.base, "GIT_OBJECT_DIRECTORY"); d != "" {
		return r.abs(d)
	}
	return filepath.Join(r.commonDir, "objects")
}
