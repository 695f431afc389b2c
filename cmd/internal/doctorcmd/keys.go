package doctorcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// root is what time and remotes say of a root that verifies, and operators' keys that its policy does not want.
func root(w *work.Work, r *provenance.Root) ([]ailment, error) {
	var out []ailment
	switch ref, wrapped, err := provenance.RootWrapped(w.Session); {
	case err != nil:
		return out, err
	case wrapped:
		out = append(out, ailment{
			Finding: verdict.Finding{Code: verdict.RootInvalid, Object: provenance.RootRef, Message: "the ref is a " + ref.Kind + ", which no version can follow", Hint: "covenant doctor --fix"},
			mend:    func() error { return provenance.UnwrapRoot(w.Session, r.Pin()) },
		})
	}
	if f, ok := provenance.ExpiryFinding(r, w.Env.Now()); ok {
		out = append(out, ailment{Finding: f})
	}
	switch err := provenance.Rivals(w.Session, r); {
	case errors.Is(err, trust.ErrFork):
		out = append(out, ailment{Finding: verdict.Finding{Code: provenance.RootFork, Object: provenance.RootRef, Message: err.Error(), Hint: "ask the operators which one is theirs, then: covenant trust pin DIGEST"}})
	case err != nil:
		return out, err
	}
	for _, name := range r.Operators {
		path, ok := w.Session.Repo().Config().Get(provenance.KeyOf(name))
		if !ok {
			path = filepath.Join(provenance.KeysDir(work.ConfigDir(w.Env)), name)
		}
		if _, err := identity.LoadFile(path, nil); err != nil {
			continue
		}
		switch r.Policy.AsksPresence() { // it signs without asking anybody
		case "":
			w.Env.Talk().Note("the key of the operator %s has no passphrase: who runs as you grants as %s; give it one: ssh-keygen -p -f %s", name, name, say.Shell(path))
		case trust.Ask:
			out = append(out, ailment{Finding: verdict.Finding{
				Code: keyUnattended, Object: path, Message: "the policy asks for presence, and this key of the operator " + name + " has no passphrase", Hint: "ssh-keygen -p -f " + say.Shell(path),
			}})
		}
	}
	return out, nil
}

// late is what keys signed and nobody who removed them knew of. It counts for nothing until it is done again.
func late(w *work.Work, f *provenance.Facts) ([]ailment, error) {
	list, err := f.Late(w.Session)
	var out []ailment
	for _, l := range list {
		if l.Left() {
			out = append(out, ailment{Finding: l.Finding()})
		}
	}
	return out, err
}

// former are keys that are chosen for somebody here and are none of theirs any more.
func former(ctx context.Context, w *work.Work, a *capability.Authority) []ailment {
	var out []ailment
	r, c := w.Session.Repo(), w.Choice()
	chosen := c.Named(r)
	for _, p := range a.Principals() {
		if _, configured := r.Config().Get(provenance.KeyOf(p.Name)); !configured && p.Name != chosen {
			continue
		}
		err := provenance.CheckKey(r, p, c)
		if err == nil {
			continue
		}
		f := verdict.Finding{Code: keyFormer, Object: p.Name, Message: err.Error() + "; another one is not found here", Hint: "covenant identity use " + p.Name + " --key PATH"}
		var mend func() error
		if other, ok := provenance.OtherKey(r, p, c); ok {
			f.Message, f.Hint = err.Error()+"; "+other+" acts in its place", "covenant identity use "+p.Name+" --key "+say.Shell(other)
			mend = func() error { return w.SetConfig(ctx, false, provenance.KeyOf(p.Name), other) }
		}
		out = append(out, ailment{Finding: f, mend: mend})
	}
	return out
}

// keys are private keys of ours that others can read.
func keys(w *work.Work) []ailment {
	var out []ailment
	dir := provenance.KeysDir(work.ConfigDir(w.Env))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || strings.HasSuffix(e.Name(), ".pub") || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 || os.PathSeparator == '\\' {
			continue
		}
		path := filepath.Join(dir, e.Name())
		out = append(out, ailment{
			Finding: verdict.Finding{Code: keyMode, Object: path, Message: fmt.Sprintf("others can read this private key (mode %04o)", info.Mode().Perm()), Hint: "chmod 600 " + say.Shell(path)},
			mend:    func() error { return os.Chmod(path, 0o600) },
		})
	}
	return out
}
