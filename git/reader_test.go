package git_test

import (
	"testing"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
)

// The git binary reads everything.
func TestReader(t *testing.T) {
	env := gittest.Env(t)
	gittest.Run(t, func(dir string) (git.Reader, error) {
		return git.OpenReader(ctx, git.Binary, git.Options{Dir: dir, Env: env})
	})
}

func TestReaderNames(t *testing.T) {
	if _, err := git.OpenReader(ctx, "none", git.Options{}); err == nil {
		t.Error("a reader without a name was opened")
	}
	defer func() {
		if recover() == nil {
			t.Error("a name was registered twice")
		}
	}()
	git.Register(git.Binary, nil)
}
