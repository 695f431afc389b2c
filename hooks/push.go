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
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

// maxTold is how many commits a refusal names.
const maxTold = 5

// push verifies what is pushed, as the remote ref it goes to, and sends our refs first.
func push(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	if len(in.Args) == 0 {
		return nil, nil
	}
	remote := in.Args[0]
	moves, err := readPush(in, s)
	if err != nil {
		return nil, err
	}
	code := len(moves) == 0 && in.pending(ctx, s, remote) // the remote has all that is pushed
	var judge []move
	for _, m := range moves {
		if ours(m.ref) || record(m.ref) {
			continue
		}
		code = true
		if !m.new.IsZero() { // the server says who may delete
			judge = append(judge, m)
		}
	}
	if err := in.mayPush(ctx, s, pin, remote, judge); err != nil {
		return nil, err
	}
	if code {
		in.publish(ctx, s, pin, remote)
	}
	return nil, nil
}

// mayPush verifies the commits that refs of the remote are to get.
func (in *Input) mayPush(ctx context.Context, s *git.Session, pin envelope.Digest, remote string, moves []move) error {
	if len(moves) == 0 {
		return nil
	}
	root, err := in.cache(s.Repo()).OpenRoot(s, pin)
	if err != nil {
		return err
	}
	var judged []oid.ID
	for _, m := range inOrder(moves, root) {
		tip, err := s.Commit(m.new.String() + "^{commit}")
		if errors.Is(err, git.ErrMissing) {
			continue // a tag of a tree or a blob
		}
		if err == nil {
			err = in.mayGet(ctx, s, root, remote, m, tip.ID, judged)
		}
		if err != nil {
			var refused *RefusedError
			if errors.As(err, &refused) {
				refused.refusals = []refusal{{m, remote, refused.Error()}}
			}
			return err
		}
		judged = append(judged, tip.ID)
	}
	return nil
}

// pending reports whether something of the record is not known to be at a remote.
func (in *Input) pending(ctx context.Context, s *git.Session, remote string) bool {
	refs, err := sync.Pending(ctx, s, remote)
	return err == nil && len(refs) > 0
}

// record reports whether a ref is one of the record, or of what a clone knows of others': no code.
func record(ref string) bool {
	return strings.HasPrefix(ref, "refs/covenant/") || strings.HasPrefix(ref, provenance.RemotePrefix) || strings.HasPrefix(ref, provenance.ForkPrefix)
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

// mayGet verifies the commits that a ref of the remote is to get and does not have. As at a server, what other refs have there, or were judged for,
// is not judged again where the policy does not protect it; but where governance began.
func (in *Input) mayGet(ctx context.Context, s *git.Session, root *provenance.Root, remote string, m move, tip oid.ID, judged []oid.ID) error {
	sp, err := m.span(ctx, s, tip, nil)
	if err != nil {
		return err
	}
	if len(sp.Except) == 0 || !strict(root, m.ref) {
		refs, err := s.Refs("refs/remotes/" + remote + "/")
		if err != nil {
			return err
		}
		elsewhere := slices.Clone(judged)
		for _, r := range refs {
			if r.Kind == "commit" {
				elsewhere = append(elsewhere, r.ID)
			}
		}
		if sp, err = m.span(ctx, s, tip, elsewhere); err != nil {
			return err
		}
	}
	rep, err := provenance.Verify(ctx, s, sp, provenance.Options{Pin: root.Pin(), Now: in.Now(), Asker: in.askers(s.Repo()), Opened: in.cache(s.Repo())})
	if errors.Is(err, provenance.ErrEmptyRange) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := rep.Condemned(); err != nil {
		return &RefusedError{Err: fmt.Errorf("%s: %w", m.ref, err), Hint: []string{"fetch it from who has it: covenant sync", "push it all the same: git push --no-verify (who verifies later will find the same)"}}
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
	see := "covenant verify --ref '" + strings.ReplaceAll(m.ref, "'", `'\''`) + "' " + tip.Short()
	seen := map[oid.ID]bool{}
	for i := range rep.Commits {
		seen[rep.Commits[i].ID] = true
	}
	for i := range rep.Commits {
		for _, id := range rep.Commits[i].Parents {
			if !seen[id] {
				seen[id], see = true, see+" ^"+id.Short()
			}
		}
	}
	return &RefusedError{
		Err:  fmt.Errorf("%s: what is pushed does not verify: %s", m.ref, strings.Join(bad, "; ")),
		Hint: []string{"see all of it: " + see, "push it all the same: git push --no-verify (who verifies later will find the same)"},
	}
}

// say tells the person who waits one line. Words of a remote may be in it.
func (in *Input) say(format string, a ...any) {
	if in.Out != nil {
		_, _ = fmt.Fprintln(in.Out, "covenant: "+visible(fmt.Sprintf(format, a...)))
	}
}
