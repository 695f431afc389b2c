package hooks

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// maxWalked bounds the files of a folder that is looked through for repositories.
const maxWalked = 1 << 20

// asWhole takes folders that a command writes with all that is in them as one place each, where no file of theirs can be in a commit of a governed repository: build output
// and what was downloaded has more files than are looked at one by one. It reports whether there were any.
func (b *bench) asWhole(ctx context.Context, dir string) bool {
	found := false
	writes := slices.Clone(b.out.Writes)
	for i := range writes {
		w := &writes[i]
		if !w.Tree || w.Glob || len(w.Into) > 0 {
			continue
		}
		at := w.Path
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		at, err := follow(at, false)
		if info, serr := os.Lstat(at); err == nil && serr == nil && info.IsDir() && b.uncommitted(ctx, at) {
			w.Tree, found = false, true
		}
	}
	b.out.Writes = writes
	return found
}

// uncommitted reports whether a folder holds no repository, and is in none that is governed, or ignored there with all that is in it.
func (b *bench) uncommitted(ctx context.Context, folder string) bool {
	n := 0
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, _ error) error {
		if n++; n > maxWalked || d != nil && d.Name() == ".git" || ctx.Err() != nil {
			return errSites
		}
		return nil // what can't be read can't be removed either
	})
	if err != nil {
		return false
	}
	top := treeOf(folder)
	if top == "" {
		return true
	}
	o := bench{in: b.in, t: b.t, e: b.e}
	if err := o.open(ctx, top); err != nil {
		return false
	}
	defer o.close()
	if o.s == nil {
		return true // nobody governs it
	}
	repo, err := git.Open(ctx, git.Options{Dir: top, Env: b.in.Env, Memory: provenance.MemoryFor(b.in.ConfigDir, b.in.lookup)})
	if err != nil {
		return false
	}
	rel, _ := below(top, folder)
	name := filepath.ToSlash(rel)
	tracked, err := repo.Run(ctx, nil, "--literal-pathspecs", "ls-files", "-z", "--", name)
	if err != nil || len(tracked) > 0 {
		return false
	}
	ignored, err := repo.Run(ctx, strings.NewReader(name+"\x00"), "check-ignore", "-z", "--stdin")
	return err == nil && len(ignored) > 0
}
