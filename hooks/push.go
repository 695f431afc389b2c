package hooks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// PublishKey is the configuration variable that says whether our refs go to a remote with a
// push: "true", "false", or nothing when nobody was asked yet.
func PublishKey(remote string) string { return "covenant." + remote + ".publish" }

// Pushing is set in the environment of the push that sends our refs, so that its hook does nothing.
const Pushing = "COVENANT_PUSHING"

// maxTold is how many commits a refusal names.
const maxTold = 5

// push verifies what is pushed, as the remote ref it goes to, and sends our refs first.
func push(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	if v, _ := in.lookup(Pushing); v != "" || len(in.Args) == 0 {
		return nil, nil
	}
	remote := in.Args[0]
	moves, err := readPush(in, s)
	if err != nil {
		return nil, err
	}
	code := false
	for _, m := range moves {
		if ours(m.ref) || strings.HasPrefix(m.ref, "refs/covenant/") {
			continue
		}
		code = true
		if m.new.IsZero() {
			continue // the server says who may delete
		}
		if err := in.mayPush(ctx, s, pin, remote, m); err != nil {
			return nil, err
		}
	}
	if !code {
		return nil, nil
	}
	return nil, in.publish(ctx, s, remote)
}

// readPush reads lines of "<local ref> SP <local oid> SP <remote ref> SP <remote oid>".
func readPush(in *Input, s *git.Session) ([]move, error) {
	if in.Stdin == nil {
		return nil, nil
	}
	var out []move
	sc := bufio.NewScanner(in.Stdin)
	sc.Buffer(make([]byte, 0, 4096), 1<<20)
	for sc.Scan() {
		f := strings.Split(sc.Text(), " ")
		if len(f) != 4 || len(out) == maxMoves {
			return nil, fmt.Errorf("%w: line %d of what is pushed", ErrMoment, len(out)+1)
		}
		m := move{ref: f[2]}
		var errs [2]error
		m.new, errs[0] = oid.Parse(f[1])
		m.old, errs[1] = oid.Parse(f[3])
		if err := errors.Join(errs[:]...); err != nil || m.new.Format() != s.Repo().Format() {
			return nil, fmt.Errorf("%w: line %d of what is pushed: %w", ErrMoment, len(out)+1, err)
		}
		out = append(out, m)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("what is pushed: %w", err)
	}
	return out, nil
}

// mayPush verifies the commits that a ref of the remote is to get and does not have.
func (in *Input) mayPush(ctx context.Context, s *git.Session, pin envelope.Digest, remote string, m move) error {
	tip, err := s.Commit(m.new.String() + "^{commit}")
	if errors.Is(err, git.ErrMissing) {
		return nil // a tag of a tree or a blob
	}
	if err != nil {
		return err
	}
	sp := provenance.Span{Tips: []oid.ID{tip.ID}, Ranged: true, Ref: m.ref}
	if !m.old.IsZero() {
		if c, err := s.Commit(m.old.String() + "^{commit}"); err == nil {
			sp.Except = append(sp.Except, c.ID)
		}
	}
	if len(sp.Except) == 0 { // a new ref, or one that moved and was not fetched: what the remote is known to have
		refs, err := s.Refs("refs/remotes/" + remote + "/")
		if err != nil {
			return err
		}
		for _, r := range refs {
			if r.Kind == "commit" {
				sp.Except = append(sp.Except, r.ID)
			}
		}
	}
	rep, err := provenance.Verify(ctx, s, sp, provenance.Options{Pin: pin, Now: in.Now(), Asker: in.askers(s.Repo())})
	if errors.Is(err, provenance.ErrEmptyRange) {
		return nil
	}
	if err != nil {
		return err
	}
	var bad []string
	more := 0
	i := 0
	for r, err := range rep.Results {
		if err != nil {
			return err
		}
		c := rep.Commits[i]
		i++
		switch {
		case r.Verdict.OK():
		case len(bad) < maxTold:
			bad = append(bad, fmt.Sprintf("commit %s is %s: %s", c.ID.Short(), r.Verdict, r.Findings[0].Message))
		default:
			more++
		}
	}
	if len(bad) == 0 {
		return nil
	}
	if more > 0 {
		bad = append(bad, fmt.Sprintf("and %d more", more))
	}
	except := ""
	if len(sp.Except) == 1 {
		except = sp.Except[0].Short() + ".."
	}
	return &RefusedError{
		Err:  fmt.Errorf("%s: what is pushed does not verify: %s", m.ref, strings.Join(bad, "; ")),
		Hint: []string{"see all of it: covenant verify " + except + tip.ID.Short(), "push it all the same: git push --no-verify (who verifies later will find the same)"},
	}
}

// publish sends ledgers and trust root before the code, in a push of its own that can't
// make the code's fail, and the notes view after them as a convenience.
func (in *Input) publish(ctx context.Context, s *git.Session, remote string) error {
	r := s.Repo()
	allowed, asked := r.Config().Get(PublishKey(remote))
	refs, err := s.Refs(ledger.Prefix, provenance.RootRef, notes.Ref)
	if err != nil || len(refs) == 0 {
		return err
	}
	url := remote
	if len(in.Args) > 1 {
		url = in.Args[1]
	}
	if !asked {
		if in.Confirm == nil {
			in.say("the remote does not get the records of these commits: nobody said that it may; say so with: git config %s true", PublishKey(remote))
			return nil
		}
		yes, err := in.Confirm(publishing(refs, url))
		if err != nil {
			in.say("the remote does not get the records of these commits: nobody said that it may; say so with: git config %s true", PublishKey(remote))
			return nil //nolint:nilerr // there is no terminal to ask on
		}
		allowed = fmt.Sprint(yes)
		if _, err := r.Run(ctx, nil, "config", PublishKey(remote), allowed); err != nil {
			return err
		}
	}
	if allowed != "true" {
		return nil
	}
	records := []string{ledger.Prefix + "*:" + ledger.Prefix + "*"}
	var view []string
	for _, ref := range refs {
		switch ref.Name {
		case provenance.RootRef:
			records = append(records, ref.Name+":"+ref.Name)
		case notes.Ref:
			view = append(view, ref.Name+":"+ref.Name)
		}
	}
	for _, specs := range [][]string{records, view} {
		if len(specs) == 0 {
			continue
		}
		args := append([]string{"-c", "push.recurseSubmodules=no", "push", "--porcelain", "--no-verify", "--no-follow-tags", remote}, specs...)
		out, err := r.Run(ctx, nil, args...)
		if err != nil && !onlyBehind(string(out)) {
			in.say("the remote did not take the records of these commits: %v", err)
		}
	}
	return nil
}

// onlyBehind reports whether all that a push was refused are refs of which the remote has
// more: others, the server among them, have written on, and a fetch brings it.
func onlyBehind(porcelain string) bool {
	refused := false
	for line := range strings.Lines(porcelain) {
		if !strings.HasPrefix(line, "!") {
			continue
		}
		refused = true
		if !strings.Contains(line, "[rejected] (fetch first)") && !strings.Contains(line, "[rejected] (non-fast-forward)") {
			return false
		}
	}
	return refused
}

// publishing says what becomes public.
func publishing(refs []git.Ref, url string) string {
	var names []string
	ledgers := 0
	for _, r := range refs {
		if n, ok := ledger.ParseRef(r.Name); ok {
			ledgers++
			names = append(names, n.Topic)
		}
	}
	slices.Sort(names)
	return fmt.Sprintf(`This push would send the records of this repository to %s:
%d ledgers (%s), the trust root and the notes on commits.
They name persons, agents, their keys and e-mail addresses, and the paths and digests
of every sealed commit, those on branches you do not push included. What is published
can't be taken back. Send them now, and with every push from now on?`, url, ledgers, strings.Join(slices.Compact(names), ", "))
}

func (in *Input) say(format string, a ...any) {
	if in.Out != nil {
		_, _ = fmt.Fprintf(in.Out, "covenant: "+format+"\n", a...)
	}
}
