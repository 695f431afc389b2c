package handoffcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/sync"
)

// Checked is the answer of verify, with --json.
type Checked struct {
	Type      string `json:"type"` // "handoff-verified"
	OK        bool   `json:"ok"`
	ID        string `json:"id"`
	Principal string `json:"principal"`
	Files     int    `json:"files"`
	Bytes     int64  `json:"bytes"`
	Manifest  string `json:"manifest"`
	State     string `json:"state"`
	Bundle    string `json:"bundle,omitempty"` // the file that was looked at
	Reason    string `json:"reason,omitempty"`
}

func newVerify(env *cli.Env) *cobra.Command {
	var most string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify ID|FILE",
		Short: "Hold the objects of a handoff to what was signed",
		Long: `Verify that a handoff was signed by somebody who is known here, that its commits are here
and are those that were signed, that every content has the digest that was signed, that no path
leads out of the work tree or into the git directory, and that git fsck finds nothing wrong.

A FILE is a bundle. It is looked at in a quarantine of its own, under the pinned root, and
nothing of it is taken over: whatever it holds, the repository is the same afterwards.`,
		Example: "  covenant handoff verify 3f9a0c51b7de\n  covenant handoff verify work.bundle --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), env, most, asJSON, args[0])
		},
	}
	cmd.Flags().StringVar(&most, "max-bytes", "256m", "how much is read")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runVerify(ctx context.Context, env *cli.Env, most string, asJSON bool, what string) error {
	limit, err := size("--max-bytes", most)
	if err != nil {
		return err
	}
	o, err := open(ctx, env)
	if err != nil {
		return err
	}
	defer o.Close()
	var c Checked
	var verr error
	if isFile(env, what) {
		c, verr = o.verifyFile(ctx, env.Path(what), limit)
	} else {
		c, verr = o.verifyHere(ctx, what, limit)
	}
	if verr != nil && cli.ExitCode(verr) != cli.ExitNo {
		return verr
	}
	if c.Type, c.OK = "handoff-verified", verr == nil; !c.OK {
		c.Reason = verr.Error()
	}
	if asJSON {
		if err := env.JSON(c); err != nil {
			return err
		}
	} else if c.OK {
		if _, err := fmt.Fprintf(env.Out, "%s %s by %s: %s, %d bytes\n", env.Palette().Good("good"), envelope.Digest(c.ID), say.Name(c.Principal), say.Count(c.Files, "file"), c.Bytes); err != nil {
			return err
		}
	}
	return verr
}

// isFile reports whether an argument names a bundle rather than a handoff.
func isFile(env *cli.Env, arg string) bool {
	return !looksLikeID(arg) || exists(env.Path(arg)) && strings.ContainsAny(arg, `/\.`)
}

// checked is what is said of a handoff, good or not.
func checked(l *Line, h *form.Handoff) Checked {
	return Checked{ID: l.ID, Principal: l.Principal, Files: l.Files, Bytes: l.Bytes, Manifest: string(h.Manifest), State: l.State}
}

func (w *opened) verifyHere(ctx context.Context, id string, limit int64) (Checked, error) {
	h, err := w.find(id)
	if err != nil {
		return Checked{}, err
	}
	l := line(w.Session, w.Record, h)
	_, err = handoff.Verify(ctx, w.Session, h, limit)
	return checked(&l, h), explain(err, handoff.Short(h.ID))
}

// verifyFile looks at a bundle, and takes nothing over.
func (w *opened) verifyFile(ctx context.Context, file string, limit int64) (Checked, error) {
	c := Checked{Bundle: file}
	file, id, err := w.bundled(ctx, file, limit)
	if err != nil {
		return c, err
	}
	c.ID = string(id)
	got, err := sync.Inspect(ctx, w.Session, sync.Options{Remote: file, Pin: w.pin, Now: w.Env.Now(), Limits: sync.Default.Up(limit)}, id, limit)
	if got != nil {
		for _, f := range append(append([]verdict.Finding{}, got.Refused...), got.Warnings...) {
			w.Env.Talk().Warn("%s: %s: %s", f.Code, say.Name(f.Object), say.Line(f.Message))
		}
		if !got.OK() {
			return c, cli.No(fmt.Errorf("the record of %s would not be taken over: see above", say.Name(file)))
		}
		if got.Handoff != nil {
			l := line(w.Session, got.Record, got.Handoff)
			c = checked(&l, got.Handoff)
			c.Bundle = file
		}
	}
	switch {
	case errors.Is(err, handoff.ErrUnknown):
		return c, unsigned(file, err)
	case errors.Is(err, sync.ErrTooMuch), errors.Is(err, git.ErrQuarantineFull):
		return c, cli.Hint(err, "if that is what you expect: --max-bytes 1g")
	case got == nil && err != nil:
		return c, unreadable(err)
	}
	return c, explain(err, handoff.Short(id))
}

// bundled looks from outside at a file that should be a bundle of one handoff, and returns its full path and which that is.
func (w *opened) bundled(ctx context.Context, file string, limit int64) (string, envelope.Digest, error) {
	st, err := os.Stat(file)
	switch {
	case err == nil && !st.Mode().IsRegular():
		err = fmt.Errorf("%s is no file", say.Name(file))
	case err == nil && st.Size() > sync.Default.Up(limit).Bytes:
		return "", "", cli.Hint(fmt.Errorf("%w: %s has %d bytes", handoff.ErrTooLarge, say.Name(file), st.Size()), "if that is what you expect: --max-bytes 1g")
	}
	if err != nil {
		return "", "", cli.Hint(err, "a handoff is named by its id, or a file that holds it: covenant handoff list")
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", "", err
	}
	err = handoff.CheckBundle(file, w.Session.Repo().Format())
	hint := "make one with: covenant handoff create --bundle FILE"
	switch {
	case errors.Is(err, handoff.ErrFormat):
		hint = "it is of another repository: a clone has the names of what it was cloned from"
	case errors.Is(err, handoff.ErrDamaged):
		hint = "have it sent again"
	}
	if err != nil {
		return "", "", cli.Hint(fmt.Errorf("%s: %w", say.Name(file), err), hint)
	}
	ids, err := sync.Handoffs(ctx, w.Session, file)
	if err != nil {
		return "", "", cli.Hint(err, "make one with: covenant handoff create --bundle FILE")
	}
	if len(ids) != 1 {
		return "", "", fmt.Errorf("%s holds %s, and one is expected", say.Name(file), say.Count(len(ids), "handoff"))
	}
	if out, err := w.Session.Repo().Run(ctx, nil, "bundle", "verify", "--quiet", file); err != nil {
		return "", "", unreadable(fmt.Errorf("%w%s", err, out))
	}
	return file, ids[0], nil
}

func unreadable(err error) error {
	return cli.Hint(fmt.Errorf("the bundle can't be read here: %w", err), "it may need commits that are not here: git fetch")
}

func unsigned(file string, err error) error {
	return cli.No(cli.Hint(fmt.Errorf("%s holds no handoff by anybody who is known here: %w", say.Name(file), err), "see who is known: covenant identity list"))
}
