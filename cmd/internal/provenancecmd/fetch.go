package provenancecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// depths are how many commits each attempt adds to a history that ends too early;
// after them all of it is fetched.
var depths = []int{32, 256, 2048}

// A fetcher brings what a verification needs and this clone has not.
type fetcher struct {
	ctx    context.Context //nolint:containedctx // a fetcher lives for one command
	env    *cli.Env
	remote string
	asked  map[string]bool // revisions that were fetched
	round  int             // of deepening

	refetched bool // what a partial clone left out
}

// fetchArgs are common to all fetches: exactly the refspecs that are named, and no
// trace in FETCH_HEAD.
var fetchArgs = []string{"fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"}

// run fetches, and tells the command.
func (f *fetcher) run(w *work.Work, stdin io.Reader, what string, args ...string) error {
	args = append(append([]string{}, fetchArgs...), args...)
	words := []string{"git"}
	for _, a := range args {
		words = append(words, say.Shell(a))
	}
	f.env.Talk().Note("fetch: %s%s", strings.Join(words, " "), what)
	_, err := w.Session.Repo().Run(f.ctx, stdin, args...)
	return err
}

// name is the remote to fetch from. It is read once, so that all fetches ask the same.
func (f *fetcher) name(w *work.Work) string {
	if f.remote == "" {
		f.remote = remote(w, "")
	}
	return f.remote
}

// record fetches, whole also in a partial clone, the ledgers and the trust root as the remote has them, but for what is
// here already; refs/notes/covenant only where it is missing, since it is a view.
// Nothing here is moved back: where a ledger went another way than here, that is an error.
func (f *fetcher) record() error {
	w, err := work.Open(f.ctx, f.env)
	if err != nil {
		return err
	}
	defer w.Close()
	from := f.name(w)
	out, err := w.Session.Repo().Run(f.ctx, nil, "ls-remote", "-q", "--refs", from, "refs/covenant/*", notes.Ref)
	if err != nil {
		return cli.Hint(fmt.Errorf("fetch from %s: %w", say.Name(from), err), "see the remotes: git remote -v", "name another one: --remote NAME")
	}
	refs, err := w.Session.Refs("refs/covenant", notes.Ref)
	if err != nil {
		return err
	}
	here := map[string]oid.ID{}
	for _, r := range refs {
		here[r.Name] = r.ID
	}
	var specs strings.Builder
	n := 0
	for line := range strings.Lines(string(out)) {
		hex, ref, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		id, err := oid.Parse(hex)
		if !ok || err != nil || ref != notes.Ref && !strings.HasPrefix(ref, "refs/covenant/") {
			continue
		}
		if at, ok := here[ref]; ok && (at == id || ref == notes.Ref || f.ahead(w, id, at)) {
			continue
		}
		n++
		specs.WriteString(ref + ":" + ref + "\n")
	}
	if n == 0 {
		return nil
	}
	if err := f.run(w, strings.NewReader(specs.String()), fmt.Sprintf(" <<< %d refs of refs/covenant and refs/notes/covenant", n), "--no-filter", "--stdin", from); err != nil {
		return cli.Hint(fmt.Errorf("fetch ledgers: %w", err), "see what differs: git ls-remote "+say.Shell(from)+" 'refs/covenant/*'")
	}
	return nil
}

// ahead reports whether what is here holds what the remote has.
func (f *fetcher) ahead(w *work.Work, theirs, ours oid.ID) bool {
	_, err := w.Session.Repo().Run(f.ctx, nil, "merge-base", "--is-ancestor", theirs.String(), ours.String())
	return err == nil
}

// wholeRange refuses a range whose two ends have nothing in common here, while history
// ends early: what belongs to it can't be told.
func wholeRange(ctx context.Context, w *work.Work, span provenance.Span) error {
	shallow, err := w.Session.Repo().Shallow()
	if err != nil || len(shallow) == 0 {
		return err
	}
	for _, tip := range span.Tips {
		for _, not := range span.Except {
			_, err := w.Session.Repo().Run(ctx, nil, "merge-base", tip.String(), not.String())
			var ce *git.CommandError
			if errors.As(err, &ce) && ce.Code == 1 {
				return &provenance.ShallowError{Commit: tip}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// mend fetches what err says is missing, and reports whether to try again.
func (f *fetcher) mend(err error, revs []string) (again bool, _ error) {
	var unknown *provenance.RevisionError
	var shallow *provenance.ShallowError
	partial := errors.Is(err, provenance.ErrPartial)
	switch {
	case errors.As(err, &unknown):
	case errors.As(err, &shallow), errors.Is(err, errCut), partial:
	default:
		return false, nil
	}
	w, operr := work.Open(f.ctx, f.env)
	if operr != nil {
		return false, operr
	}
	defer w.Close()
	if unknown != nil {
		return f.revision(w, unknown.Rev, revs)
	}
	if partial {
		return f.whole(w)
	}
	if again, err := f.deepen(w, revs); again || err != nil || shallow != nil {
		return again, err
	}
	return f.whole(w)
}

// whole fetches, once, what a partial clone left out.
func (f *fetcher) whole(w *work.Work) (bool, error) {
	if !w.Session.Repo().Partial() || f.refetched {
		return false, nil
	}
	f.refetched = true
	from := f.name(w)
	if err := f.run(w, nil, "", "--refetch", "--no-filter", from); err != nil {
		return false, cli.Hint(fmt.Errorf("fetch what was left out: %w", err), "fetch it by hand: git fetch --refetch --no-filter "+say.Shell(from))
	}
	return true, nil
}

// revision fetches a revision that is not here: a commit by its name, or a branch of
// the remote.
func (f *fetcher) revision(w *work.Work, rev string, revs []string) (bool, error) {
	name, rest := rev, ""
	if i := strings.IndexAny(rev, "~^@:"); i > 0 {
		name, rest = rev[:i], rev[i:]
	}
	if _, err := w.Session.Commit(name + "^{commit}"); err == nil {
		if rest == "" {
			return false, nil
		}
		return f.deepen(w, revs)
	}
	if f.asked[name] {
		return false, nil
	}
	if f.asked == nil {
		f.asked = map[string]bool{}
	}
	f.asked[name] = true
	from := f.name(w)
	spec := ""
	if id, err := oid.Parse(name); err == nil && id.Format() == w.Session.Repo().Format() {
		spec = name
	} else if branch, ok := strings.CutPrefix(strings.TrimPrefix(name, "refs/remotes/"), from+"/"); ok && branch != "" {
		spec = "+refs/heads/" + branch + ":refs/remotes/" + from + "/" + branch
	} else {
		return false, nil
	}
	args := []string{from, spec}
	if shallow, err := w.Session.Repo().Shallow(); err != nil {
		return false, err
	} else if len(shallow) > 0 {
		args = append([]string{"--depth=1"}, args...)
	}
	if err := f.run(w, nil, "", args...); err != nil {
		return false, cli.Hint(fmt.Errorf("fetch %s: %w", say.Name(name), err), "see what the remote has: git ls-remote "+say.Shell(from))
	}
	return true, nil
}

// deepen fetches more of the history of the revisions.
func (f *fetcher) deepen(w *work.Work, revs []string) (bool, error) {
	shallow, err := w.Session.Repo().Shallow()
	if err != nil || len(shallow) == 0 {
		return false, err
	}
	if f.round > len(depths) {
		return false, nil
	}
	how := "--unshallow"
	if f.round < len(depths) {
		how = "--deepen=" + strconv.Itoa(depths[f.round])
	}
	f.round++
	from := f.name(w)
	args := []string{how, from}
	for _, name := range ends(revs) {
		if c, err := w.Session.Commit(name + "^{commit}"); err == nil {
			args = append(args, c.ID.String())
		}
	}
	err = f.run(w, nil, "", args...)
	var ce *git.CommandError
	if errors.As(err, &ce) && len(args) > 2 { // a commit that only this clone has: follow the branches
		err = f.run(w, nil, "", how, from)
	}
	if err != nil {
		return false, cli.Hint(fmt.Errorf("fetch more history: %w", err), "fetch all of it: git fetch --unshallow "+say.Shell(from))
	}
	return true, nil
}

// ends are the names that revisions begin with: both ends of a range, without what
// leads from them to an ancestor.
func ends(revs []string) []string {
	if len(revs) == 0 {
		return []string{"HEAD"}
	}
	var out []string
	for _, r := range revs {
		for _, name := range strings.SplitN(strings.TrimPrefix(r, "^"), "..", 2) {
			if i := strings.IndexAny(name, "~^@:"); i > 0 {
				name = name[:i]
			}
			if name == "" {
				name = "HEAD"
			}
			out = append(out, name)
		}
	}
	return out
}

// offerFetch adds to an error about something that is not here that it can be fetched, by the command that was typed.
func offerFetch(env *cli.Env, err error) error {
	words := []string{"covenant", "verify", "--fetch"}
	if len(env.Args) > 0 && env.Args[0] == "verify" {
		for _, a := range env.Args[1:] {
			words = append(words, say.Shell(a))
		}
	}
	again := strings.Join(words, " ")
	var unknown *provenance.RevisionError
	var shallow *provenance.ShallowError
	switch {
	case errors.As(err, &unknown), errors.As(err, &shallow), errors.Is(err, provenance.ErrRootMissing):
		return cli.Hint(err, "let it fetch what it needs: "+again)
	case errors.Is(err, provenance.ErrNotGoverned):
		return cli.Hint(err, "in a clone of a governed repository, let it fetch what it needs: "+again)
	}
	return err
}
