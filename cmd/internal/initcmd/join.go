package initcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

// patience is how long a remote may take to say whether the repository is governed.
const patience = 10 * time.Second

// join pins a root that is here already: the newest version, after the chain was verified from the one that was named.
func join(ctx context.Context, w *work.Work, o options, found envelope.Digest) (envelope.Digest, error) {
	pinned, ok := w.Session.Repo().Config().Get(provenance.PinKey)
	text := o.root
	if text == "" && ok {
		text = pinned
	}
	if text == "" {
		return "", cli.Hint(fmt.Errorf("this repository has a trust root already: %s", found),
			"compare it with the digest that an operator tells you, then: covenant init --root "+string(found))
	}
	from := "--root"
	if o.root == "" {
		from = work.Config
	}
	want, err := work.Digest(from, text)
	if err != nil {
		return "", err
	}
	root, err := provenance.OpenRoot(w.Session, want)
	if errors.Is(err, provenance.ErrRootMismatch) {
		return "", cli.No(cli.Hint(fmt.Errorf("the trust root here is %s, not %s: %w", found, want, err), "when that is a later version than this clone has seen: covenant sync",
			"else ask an operator; do not pin what you did not compare"))
	}
	if err != nil {
		return "", work.Explain(err)
	}
	if ok && pinned != text { // a pin is given up knowingly, or not at all
		if _, err := provenance.OpenRoot(w.Session, envelope.Digest(pinned)); errors.Is(err, provenance.ErrRootMismatch) {
			return "", cli.No(cli.Hint(fmt.Errorf("this clone pins %s, which the trust root here does not contain", pinned), "if an operator you know stands by the other one: covenant trust pin "+text))
		}
	}
	return root.Digest, work.Explain(w.SetConfig(ctx, false, provenance.PinKey, string(root.Digest)))
}

// joinRemote joins a repository that a remote knows as governed: the pin, or nothing when no remote does.
func joinRemote(ctx context.Context, w *work.Work, o options) (envelope.Digest, error) {
	if o.noFetch {
		return "", nil
	}
	want, err := wanted(w, o)
	if err != nil {
		return "", err
	}
	remote, found, err := governed(ctx, w, o, want)
	if err == nil && found != nil {
		err = o.joins()
	}
	if err != nil || found == nil {
		return "", err
	}
	if want == "" {
		if want, err = compare(w, remote, found); err != nil {
			return "", err
		}
	}
	root, err := sync.Join(w.Session, found, want)
	if errors.Is(err, provenance.ErrRootMismatch) {
		return "", cli.No(cli.Hint(fmt.Errorf("the trust root of %s is %s, not %s: %w", remote, found.Digest, want, err), "ask an operator; do not pin what you did not compare"))
	}
	if err != nil {
		return "", work.Explain(err)
	}
	if err := w.SetConfig(ctx, false, provenance.PinKey, string(root.Digest)); err != nil {
		return "", err
	}
	rep, err := sync.Run(ctx, w.Session, sync.Options{Remote: remote, Pin: root.Digest, Now: w.Env.Now(), Fetch: true, Unasked: true})
	if err != nil {
		w.Env.Talk().Warn("the records of %s were not fetched: %v", remote, err)
		w.Env.Talk().Hint("fetch them: covenant sync " + say.Shell(remote))
	} else if !rep.OK() {
		w.Env.Talk().Warn("%s has records that were not adopted: %s: %s", remote, rep.Refused[0].Code, rep.Refused[0].Message)
		w.Env.Talk().Hint("see all of it: covenant sync " + say.Shell(remote))
	}
	if rep.Left > 0 {
		w.Env.Talk().Note("handoffs that were not fetched, for their size or number: %d; get them: covenant sync %s", rep.Left, say.Shell(remote))
	}
	return root.Digest, nil
}

// maxRemotes is how many remotes are asked.
const maxRemotes = 8

// governed asks all remotes, or the one that was named, and returns the one whose root is to be joined: it is nil when no remote has one.
// A second root beside one that somebody has is a rival, so nothing is founded while it is not known what a remote has.
func governed(ctx context.Context, w *work.Work, o options, want envelope.Digest) (remote string, found *sync.Found, err error) {
	list := []string{o.remote}
	if o.remote == "" {
		list = sync.Remotes(w.Session.Repo())
		first, err := sync.Choose(w.Session)
		var address *sync.AddressError
		if errors.As(err, &address) { // nothing is sent there
			first, err = address.Address, nil
		}
		if err == nil { // the one that is meant is asked first
			list = append([]string{first}, slices.DeleteFunc(list, func(x string) bool { return x == first })...)
		}
	}
	if len(list) > maxRemotes {
		return "", nil, cli.Hint(fmt.Errorf("this clone has %d remotes, and %d are asked at most whether the repository is governed already", len(list), maxRemotes),
			"name the one that is meant: covenant init --remote REMOTE", "found a repository of your own without a look: covenant init --no-fetch")
	}
	var with []string
	for i, name := range list {
		f, err := look(ctx, w, name)
		var failed *git.CommandError
		switch {
		case err != nil && (errors.As(err, &failed) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errPatience)):
			unknown := fmt.Errorf("it is not known whether %s is governed already: %w", sync.Shown(name), err)
			if o.remote == "" && want == "" {
				if yes, cerr := terminal.Confirm(unknown.Error() + "\nA second trust root beside one that others have is a rival of theirs. Is it certain that there is none?"); cerr == nil && yes {
					continue
				}
			}
			return "", nil, cli.Hint(unknown, "see whether Git reaches it: git ls-remote "+say.Shell(sync.Shown(name)), "if it is certain that nobody governs it: covenant init --no-fetch")
		case err != nil:
			return "", nil, cli.Hint(err, "ask who keeps "+sync.Shown(name)+" to put the trust root back")
		case f == nil:
			continue
		case i == 0:
			return name, f, nil
		}
		with = append(with, name)
		remote, found = name, f
	}
	if len(with) == 0 || len(with) == 1 && want != "" {
		return remote, found, nil
	}
	hints := []string{}
	for _, name := range with {
		hints = append(hints, "join it: covenant init --remote "+say.Shell(name))
	}
	return "", nil, cli.Hint(fmt.Errorf("the repository is governed already at %s", strings.Join(with, ", ")), append(hints, "found a repository of your own all the same: covenant init --no-fetch")...)
}

var errPatience = errors.New("it did not answer in time")

// wanted is the digest that somebody named: on the command line, in the environment, or earlier.
func wanted(w *work.Work, o options) (envelope.Digest, error) {
	if _, pinned := w.Session.Repo().Config().Get(provenance.PinKey); o.root == "" && !pinned && w.Env.Value("COVENANT_ROOT") == "" {
		return "", nil
	}
	return w.Pin(o.root)
}

// look asks a remote for its trust root, and not for long.
func look(ctx context.Context, w *work.Work, remote string) (*sync.Found, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%w: %s within %s", errPatience, sync.Shown(remote), patience))
	defer cancel()
	return sync.Look(ctx, w.Session, remote)
}

// compare shows a trust root and asks whether it is the right one. Without a terminal there is no answer.
func compare(w *work.Work, remote string, found *sync.Found) (envelope.Digest, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is governed. Its trust root says of itself:\n  digest     %s\n", say.Name(remote), found.Digest)
	if r := found.Root; r != nil {
		fmt.Fprintf(&b, "  version    %d, created %s\n  operators  %s (%d must agree)\n", r.Version, r.Created, say.Line(strings.Join(r.Operators, ", ")), r.Threshold)
	}
	if named := advised(w); named != "" {
		fmt.Fprintf(&b, "  .covenant  names %s, which anybody who commits here may write\n", say.Line(named))
	}
	yes, err := terminal.Confirm(b.String() + "Nothing proves it until you compared the digest with an operator, by another way.\nDid you, and is it the same?")
	switch {
	case errors.Is(err, terminal.ErrNone):
		w.Env.Talk().Note("%s", b.String())
		return "", cli.Hint(fmt.Errorf("%s is governed already, and there is no terminal to ask on whether trust root %s is the right one", remote, found.Digest),
			"compare it with the digest that an operator tells you, then: covenant init --root "+string(found.Digest),
			"found a repository of your own all the same: covenant init --no-fetch")
	case err != nil:
		return "", err
	case !yes:
		return "", cli.No(errors.New("nothing was pinned"))
	}
	return found.Digest, nil
}

// advised is the digest that the file .covenant of the work tree names, "" when there is none: a line "root DIGEST".
func advised(w *work.Work) string {
	top := w.Session.Repo().WorkTree()
	if top == "" {
		return ""
	}
	path := filepath.Join(top, ".covenant")
	if st, err := os.Lstat(path); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path) //nolint:gosec // shown, not believed
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "root" {
			if d, err := envelope.ParseDigest(f[1]); err == nil {
				return string(d)
			}
		}
	}
	return ""
}
