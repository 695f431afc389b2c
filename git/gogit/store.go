// Package gogit reads repositories with go-git instead of the git binary: no child processes, at
// the price of fewer repositories it can read. It satisfies git.Reader and writes nothing.
//
// It takes only go-git's object storage. Trees are compared by a walk of its own, since go-git's
// ends quietly at a missing subtree; refs are read by this package, since go-git's reader takes
// lock files for refs.
//
// Unlike Git it does not ask who owns the repository, ignores GIT_* variables and does not see the
// quarantine of a push: it is for reports over a repository one already trusts, never for hooks.
package gogit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrUnsupported says that a repository, or a question, needs the git binary: SHA-256 and reftable
// repositories, any extension such as worktreeConfig (set by sparse checkouts), alternates.
var ErrUnsupported = errors.New("not supported by go-git")

// Name is the name this reader is registered under.
const Name = "go-git"

// Register makes this reader known to git.OpenReader.
func Register() {
	git.Register(Name, func(_ context.Context, o git.Options) (git.Reader, error) { return Open(o.Dir) })
}

// Store is an opened repository. It has one owner at a time.
type Store struct {
	gitDir, commonDir string
	objects           *filesystem.Storage
	shallow           map[oid.ID]bool
}

var _ git.Reader = (*Store)(nil)

// Open opens the repository that dir is, or lies in. The error wraps git.ErrNotRepository or
// [ErrUnsupported].
func Open(dir string) (*Store, error) {
	s, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository %s with go-git: %w", dir, err)
	}
	return s, nil
}

func open(dir string) (*Store, error) {
	gitDir, commonDir, err := locate(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{gitDir: gitDir, commonDir: commonDir}
	for _, name := range []string{"alternates", "http-alternates"} {
		if _, err := os.Stat(filepath.Join(commonDir, "objects", "info", name)); err == nil {
			return nil, fmt.Errorf("%w: objects borrowed through %s", ErrUnsupported, name)
		}
	}
	dot := osfs.New(gitDir)
	s.objects = filesystem.NewStorageWithOptions(
		dotgit.NewRepositoryFilesystem(dot, osfs.New(commonDir)),
		cache.NewObjectLRUDefault(), filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: 1 << 20})
	if err := s.checkFormat(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.shallow, err = readShallow(filepath.Join(commonDir, "shallow")); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// checkFormat refuses what go-git does not know. It looks at the configuration itself because
// go-git minds the case of its names, which Git does not.
func (s *Store) checkFormat() error {
	cfg, err := s.objects.Config()
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	for _, section := range cfg.Raw.Sections {
		for _, o := range section.Options {
			switch key := strings.ToLower(section.Name + "." + o.Key); {
			case key == "core.repositoryformatversion" && o.Value != "0" && o.Value != "1":
				return fmt.Errorf("%w: repository format %q", ErrUnsupported, o.Value)
			case strings.HasPrefix(key, "extensions."):
				return fmt.Errorf("%w: %s", ErrUnsupported, key)
			}
		}
	}
	if _, err = gogit.Open(s.objects, nil); err != nil {
		return err
	}
	return nil
}

// Close closes the files of the store.
func (s *Store) Close() error { return s.objects.Close() }

// locate finds the git directory and the common directory (gitrepository-layout(5)).
func locate(dir string) (gitDir, commonDir string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	for d := dir; ; {
		candidates := []string{filepath.Join(d, ".git"), d}
		if b, err := os.ReadFile(candidates[0]); err == nil {
			target, ok := strings.CutPrefix(strings.TrimRight(string(b), "\r\n"), "gitdir: ")
			if !ok {
				return "", "", fmt.Errorf("%w: %s names no directory", git.ErrNotRepository, candidates[0])
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(d, target)
			}
			candidates = []string{target}
		}
		for _, c := range candidates {
			if common, ok := commonOf(c); ok {
				return c, common, nil
			}
		}
		up := filepath.Dir(d)
		if up == d {
			return "", "", fmt.Errorf("%w: %s", git.ErrNotRepository, dir)
		}
		d = up
	}
}

func commonOf(gitDir string) (string, bool) {
	if _, err := os.Lstat(filepath.Join(gitDir, "HEAD")); err != nil {
		return "", false
	}
	common := gitDir
	if b, err := os.ReadFile(filepath.Join(gitDir, "commondir")); err == nil {
		if common = strings.TrimRight(string(b), "\r\n"); !filepath.IsAbs(common) {
			common = filepath.Join(gitDir, common)
		}
	}
	st, err := os.Stat(filepath.Join(common, "objects"))
	return common, err == nil && st.IsDir()
}

func readShallow(path string) (map[oid.ID]bool, error) {
	m := map[oid.ID]bool{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		id, err := oid.Parse(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read the shallow boundary: %w", err)
		}
		m[id] = true
	}
	return m, lines.Err()
}

// encoded finds an object; its content may not have been read yet.
func (s *Store) encoded(id oid.ID) (plumbing.EncodedObject, error) {
	if id.Format() != oid.SHA1 {
		return nil, fmt.Errorf("%w: %s", git.ErrMissing, id)
	}
	var h plumbing.Hash
	copy(h[:], id.Bytes())
	o, err := s.objects.EncodedObject(plumbing.AnyObject, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		// Packs may have been rewritten since the list of them was read.
		s.objects.Reindex()
		o, err = s.objects.EncodedObject(plumbing.AnyObject, h)
	}
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", git.ErrMissing, id)
	case err != nil:
		return nil, fmt.Errorf("read object %s: %w", id, err)
	}
	return o, nil
}

// object reads one object by object name.
func (s *Store) object(id oid.ID, limit int64) (git.Object, error) {
	if limit <= 0 {
		limit = git.DefaultLimit
	}
	o, err := s.encoded(id)
	if err != nil {
		return git.Object{}, err
	}
	if o.Size() > limit {
		return git.Object{}, &git.TooLargeError{Name: id.String(), Size: o.Size(), Limit: limit}
	}
	r, err := o.Reader()
	if err != nil {
		return git.Object{}, fmt.Errorf("read object %s: %w", id, err)
	}
	data := make([]byte, o.Size())
	_, err = io.ReadFull(r, data)
	if err == nil {
		// The stream must end where the header said.
		if n, _ := r.Read(make([]byte, 1)); n != 0 {
			err = errors.New("longer than its header says")
		}
	}
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return git.Object{}, fmt.Errorf("read object %s: %w", id, err)
	}
	return git.Object{ID: id, Kind: o.Type().String(), Size: int64(len(data)), Data: data}, nil
}
