package handoffcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/oid"
)

// enter goes to the work tree that the handoff is put into, and makes what is asked for. back takes that away again, for a handoff that then
// is not put there.
func (w *opened) enter(ctx context.Context, env *cli.Env, v *handoff.Verified, o *applying) (to *opened, back func(context.Context) error, err error) {
	h := v.Handoff
	back = func(context.Context) error { return nil }
	if o.branch != "" && !git.ValidRef("refs/heads/"+o.branch) {
		return nil, nil, cli.Usage("--onto-branch: %.80q is no name of a branch", o.branch)
	}
	if (o.dir != "" || o.branch != "") && h.Base.IsZero() {
		return nil, nil, &handoff.BaseError{Base: h.Base}
	}
	there, err := w.branchAt(h, o.branch)
	if err != nil {
		return nil, nil, err
	}
	if o.dir == "" {
		if o.branch != "" {
			back, err = w.goOnto(ctx, v, o.branch, there)
		}
		return w, back, err
	}
	r := w.Session.Repo()
	dir := env.Path(o.dir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		args := []string{"worktree", "add", "--quiet", "--detach", "--", dir, h.Base.String()}
		switch {
		case there:
			args = []string{"worktree", "add", "--quiet", "--", dir, o.branch}
		case o.branch != "":
			args = []string{"worktree", "add", "--quiet", "-b", o.branch, "--", dir, h.Base.String()}
		}
		if _, err := r.Run(ctx, nil, args...); err != nil {
			return nil, nil, err
		}
		back = func(ctx context.Context) error {
			_, err := r.Run(ctx, nil, "worktree", "remove", "--", dir) // not where there is anything of somebody
			if err == nil && o.branch != "" && !there {
				_, err = r.Run(ctx, nil, "branch", "--quiet", "-D", "--", o.branch)
			}
			return err
		}
	} else if err == nil && o.branch != "" {
		return nil, nil, cli.Usage("--onto-branch is for a work tree that is made; %s is there", o.dir)
	}
	in := *env
	in.Dir = dir
	other, err := work.Open(ctx, &in)
	if err != nil {
		return nil, nil, errors.Join(err, back(context.WithoutCancel(ctx)))
	}
	if other.Session.Repo().CommonDir() != r.CommonDir() {
		other.Close()
		return nil, nil, cli.Hint(fmt.Errorf("%s is no work tree of this repository", say.Name(o.dir)), "see which there are: git worktree list", "in another clone: covenant -C "+say.Shell(o.dir)+" handoff apply "+handoff.Short(h.ID))
	}
	return &opened{Work: other, pin: w.pin, Record: w.Record}, back, nil
}

// branchAt reports whether a branch is there. It is where the handoff began, or is refused.
func (w *opened) branchAt(h *form.Handoff, branch string) (bool, error) {
	if branch == "" {
		return false, nil
	}
	refs, err := w.Session.Tips("refs/heads/" + branch)
	if err != nil {
		return false, err
	}
	there := oid.ID{}
	for _, r := range refs {
		there = r.ID
	}
	if !there.IsZero() && there != h.Base {
		return true, cli.Hint(fmt.Errorf("branch %s is at %s, and the handoff is of %s", say.Name(branch), there.Short(), h.Base.Short()), "name one that is not there")
	}
	return !there.IsZero(), nil
}

// goOnto switches this work tree to a branch, which is made where it is not there.
func (w *opened) goOnto(ctx context.Context, v *handoff.Verified, branch string, there bool) (back func(context.Context) error, err error) {
	r := w.Session.Repo()
	st, err := r.Status(ctx)
	if err != nil {
		return nil, err
	}
	if err := handoff.Fits(ctx, w.Session, v); err != nil {
		return nil, err
	}
	args := []string{"switch", "--quiet", "--create", branch, v.Base.String()}
	if there {
		args = []string{"switch", "--quiet", branch}
	}
	if _, err := r.Run(ctx, nil, args...); err != nil {
		return nil, err
	}
	from := []string{"switch", "--quiet", strings.TrimPrefix(st.Branch, "refs/heads/")}
	switch {
	case st.Branch == "":
		from = []string{"switch", "--quiet", "--detach", st.Head.String()}
	case st.Head.IsZero():
		from = []string{"switch", "--quiet", "--orphan", strings.TrimPrefix(st.Branch, "refs/heads/")}
	}
	return func(ctx context.Context) error {
		_, err := r.Run(ctx, nil, from...)
		if err == nil && !there {
			_, err = r.Run(ctx, nil, "branch", "--quiet", "-D", "--", branch)
		}
		return err
	}, nil
}
