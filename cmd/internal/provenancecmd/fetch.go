package provenancecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
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
	return sync.Said(err)
}

// choose finds the remote to fetch from where none was named. It is found once, so that all fetches ask the same.
func (f *fetcher) choose(w *work.Work) error {
	if f.remote != "" {
		return nil
	}
	name, err := sync.Choose(w.Session)
	if err != nil {
		hints := []string{"name the one that is meant: --remote NAME", "see the remotes: git remote -v"}
		if errors.As(err, new(*sync.AddressError)) {
			hints = append(hints, "what that address has of ledgers is looked at, and not kept, with: --from URL")
		}
		return cli.Hint(err, hints...)
	}
	f.remote = name
	return nil
}

// remote is the one that was said, else the one that is meant when none is. An address that the branch follows is not meant: see sync.AddressError.
func remote(w *work.Work, said string) string {
	if said != "" {
		return said
	}
	if name, err := sync.Choose(w.Session); err == nil {
		return name
	}
	return "origin"
}

// held is what a fetch found about the trust root.
type held struct {
	pinned work.Pinned           // what the fetch was held to: it may move the configured pin on
	unfit  *provenance.RootError // why nothing holds to that
}

// record brings what the remote has of ledgers, trust root and notes view, as covenant sync does: what is none, or goes another way than here, or is too
// much, stays there. Where something is wrong with it there is no answer.
func (f *fetcher) record(root string) (*held, error) {
	w, err := work.Open(f.ctx, f.env)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := f.choose(w); err != nil {
		return nil, err
	}
	from := f.remote
	pinned, err := w.PinFrom(root)
	if errors.Is(err, provenance.ErrNotGoverned) {
		if found, lerr := sync.Look(f.ctx, w.Session, from); lerr == nil && found != nil {
			err = work.Explain(fmt.Errorf("%w: it is %s", provenance.ErrNotPinned, found.Digest))
		}
	}
	if err != nil {
		return nil, err
	}
	var rep *sync.Report
	has, err := sync.Begin(f.ctx, w.Session, from, pinned.Digest)
	if err == nil && has {
		rep, err = sync.Run(f.ctx, w.Session, sync.Options{Remote: from, Pin: pinned.Digest, Now: f.env.Now(), Fetch: true, Unasked: true})
	}
	found := &held{pinned: pinned}
	if errors.As(err, &found.unfit) {
		return found, nil
	}
	if err != nil {
		err = work.Explain(fmt.Errorf("fetch from %s: %w", say.Name(sync.Shown(from)), err))
		if failed := (*git.CommandError)(nil); errors.As(err, &failed) && len(cli.Hints(err)) == 0 {
			err = cli.Hint(err, "see the remotes: git remote -v", "name another one: --remote NAME")
		}
		return nil, err
	}
	if !has {
		return nil, cli.Hint(fmt.Errorf("%s has no trust root: %w: %s", say.Name(sync.Shown(from)), provenance.ErrRootMissing, pinned.Digest),
			"name a remote that has it: --remote NAME", "who governs the repository sends it there: covenant sync --yes")
	}
	talk := f.env.Talk()
	if n := len(rep.Adopted); n > 0 || rep.Root != nil {
		what := say.Count(n, "ref")
		if n == 0 {
			what = "the trust root"
		}
		talk.Note("fetch: covenant sync --fetch-only %s: %s", say.Shell(sync.Shown(from)), what)
	}
	for _, x := range rep.Warnings {
		talk.Warn("%s: %s: %s", x.Code, say.Name(x.Object), say.Line(x.Message))
	}
	for _, x := range rep.Refused {
		what := fmt.Sprintf("%s: %s: %s", x.Code, say.Name(x.Object), say.Line(x.Message))
		if x.Code == verdict.LedgerRolledBack || x.Code == sync.LedgerTooLong || strings.HasPrefix(string(x.Code), "root.") { // no writer of a ledger alone can do that
			hints := []string{"see all of it: covenant sync --fetch-only " + say.Shell(sync.Shown(from))}
			if x.Hint != "" {
				hints = append(hints, x.Hint)
			}
			return nil, cli.Hint(errors.New(what), hints...)
		}
		talk.Warn("%s", what)
	}
	return found, nil
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
		again, ferr := f.revision(w, unknown.Rev, revs)
		if hint := byRemote(f.remote, unknown.Rev, revs); !again && ferr == nil && hint != "" {
			ferr = cli.Hint(err, hint)
		}
		return again, ferr
	}
	if partial {
		return f.whole(w, revs)
	}
	switch again, err := f.deepen(w, revs); {
	case again || err != nil:
		return again, err
	case shallow != nil:
		return false, cli.Hint(fmt.Errorf("%w, and %s has no more of it", shallow, say.Name(sync.Shown(f.remote))), "name a remote that does: --remote NAME")
	}
	return f.whole(w, revs)
}

// whole fetches, once, what a partial clone left out.
func (f *fetcher) whole(w *work.Work, revs []string) (bool, error) {
	if !w.Session.Repo().Partial() || f.refetched {
		return false, nil
	}
	f.refetched = true
	if err := f.ofEnds(w, revs, "--refetch", "--no-filter"); err != nil {
		return false, cli.Hint(fmt.Errorf("fetch what was left out: %w", err), "fetch it by hand: git fetch --refetch --no-filter "+say.Shell(f.remote))
	}
	return true, nil
}

// ofEnds fetches what the named revisions lead to; where one is only here, what the branches lead to that this clone follows.
func (f *fetcher) ofEnds(w *work.Work, revs []string, how ...string) error {
	all := append(slices.Clone(how), f.remote)
	args := slices.Clone(all)
	for _, name := range ends(revs) {
		if c, err := w.Session.Commit(name + "^{commit}"); err == nil && !slices.Contains(args, c.ID.String()) {
			args = append(args, c.ID.String())
		}
	}
	err := f.run(w, nil, "", args...)
	var ce *git.CommandError
	if errors.As(err, &ce) && len(args) > len(all) {
		err = f.run(w, nil, "", all...)
	}
	return err
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
	from := f.remote
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
	if err := f.ofEnds(w, revs, how); err != nil {
		return false, cli.Hint(fmt.Errorf("fetch more history: %w", err), "fetch all of it: git fetch --unshallow "+say.Shell(f.remote))
	}
	after, err := w.Session.Repo().Shallow()
	if err != nil {
		return false, err
	}
	if maps.Equal(shallow, after) { // there is no more: another round would bring none either
		f.round = len(depths) + 1
		return false, nil
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

// byRemote says what to type where a revision begins with a name that only a branch of the remote may have: one is fetched by the
// name that it has here. It is empty for anything else.
func byRemote(from, rev string, revs []string) string {
	name := ends([]string{rev})[0]
	if _, err := oid.Parse(name); err == nil || name == "HEAD" || strings.Contains(from, "/") || strings.HasPrefix(name, "refs/") || strings.HasPrefix(name, from+"/") {
		return ""
	}
	words := []string{"--fetch"}
	for _, r := range revs {
		parts := strings.SplitN(r, "..", 2)
		for i, p := range parts {
			if ends([]string{p})[0] == name {
				parts[i] = strings.Replace(p, name, from+"/"+name, 1)
			}
		}
		words = append(words, say.Shell(strings.Join(parts, "..")))
	}
	return "when it is a branch of the remote, name that: " + strings.Join(words, " ")
}

// offerFetch adds to an error about something that is not here that it can be fetched, by the command that was typed.
func offerFetch(ctx context.Context, env *cli.Env, name string, revs []string, err error) error {
	words := []string{"covenant", "verify", "--fetch"}
	if len(env.Args) > 0 && env.Args[0] == "verify" {
		for _, a := range env.Args[1:] {
			words = append(words, say.Shell(a))
		}
	}
	again := strings.Join(words, " ")
	var unknown *provenance.RevisionError
	var shallow *provenance.ShallowError
	if errors.As(err, &unknown) {
		if w, operr := work.Open(ctx, env); operr == nil {
			defer w.Close()
			if hint := byRemote(remote(w, name), unknown.Rev, revs); hint != "" {
				return cli.Hint(err, hint)
			}
		}
	}
	switch {
	case errors.Is(err, provenance.ErrPartial):
		return cli.Hint(err, "let it fetch what it needs: "+again)
	case errors.Is(err, provenance.ErrRootMismatch):
		return cli.Hint(err, "when that is a later version than this clone has seen: "+again)
	case errors.As(err, &unknown), errors.As(err, &shallow), errors.Is(err, provenance.ErrRootMissing):
		return cli.Hint(err, "let it fetch what it needs: "+again)
	case errors.Is(err, provenance.ErrNotGoverned):
		return cli.Hint(err, "in a clone of a governed repository, let it fetch what it needs: "+again)
	}
	return err
}
