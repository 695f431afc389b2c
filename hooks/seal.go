package hooks

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
)

// after is what follows when commits came to be: they are judged as they are, and sealed.
func after(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	sure := in.Moment == "post-commit" || in.Moment == "post-applypatch"
	if sure && in.Ahead != nil {
		in.Ahead(s.Repo()) // what takes longest comes first
	}
	in.refs = provenance.RefsAhead(s)
	s.Warm()
	s.WarmDiff()
	ids, err := in.commits(ctx, s)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if !sure && in.Ahead != nil {
		in.Ahead(s.Repo())
	}
	root, err := in.cache(s.Repo()).OpenRoot(s, pin)
	if err != nil {
		return nil, in.failed(s.Repo(), ids, err)
	}
	made, err := in.seal(ctx, s, root, ids)
	if u := (*untold)(nil); errors.As(err, &u) && !errors.Is(err, provenance.ErrDenied) {
		ids = u.commits // the others are sealed
	}
	if err != nil {
		return nil, in.failed(s.Repo(), ids, err)
	}
	return made, nil
}

func (in *Input) seal(ctx context.Context, s *git.Session, root *provenance.Root, ids []oid.ID) ([]provenance.Made, error) {
	choice := in.choice()
	choice.Cache, choice.Refs = in.cache(s.Repo()), in.refs
	authority, refs, err := provenance.AuthorityFor(ctx, s, root, choice)
	if err != nil {
		return nil, err
	}
	hand, err := provenance.ChooseHand(s.Repo(), authority, choice)
	if err != nil {
		return nil, err
	}
	ref, err := s.ActingRef()
	if err != nil {
		return nil, err
	}
	k := &provenance.Sealer{Session: s, Root: root, Authority: authority, Hand: hand, Asker: in.asker(s.Repo(), root, authority), Moment: in.Moment, Now: in.Now, Locked: true, Refs: refs}
	if k.Intent, err = Intent(in.Env, in.ConfigDir, s.Repo()); err != nil {
		return nil, err
	}
	k.StateOf = func(ctx context.Context, id string) *prov.IntentState {
		return intents.StateFor(ctx, s, root, in.cache(s.Repo()), id)
	}
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		return nil, err
	}
	unlock = sync.OnceFunc(unlock)
	defer unlock()
	if in.Moment == "post-commit" {
		if ids, err = in.overtaken(ctx, s, k, ids[0]); err != nil {
			return nil, err
		}
		k.Again = true // that it has no seal was just seen, under the lock
	} else if in.Moment == "post-rewrite" { // of an amend, the commit was judged as it came to be
		refused, err := k.RefusedLately()
		if err != nil {
			return nil, err
		}
		if ids = slices.DeleteFunc(ids, func(id oid.ID) bool { return refused[id] }); len(ids) == 0 {
			return nil, nil
		}
	}
	commits := make([]git.Commit, 0, len(ids))
	for _, id := range ids {
		c, err := in.commit(s, id)
		if err != nil {
			return nil, err
		}
		commits = append(commits, c)
	}
	commits, lacking, err := in.receipted(ctx, k, ref, commits)
	if err != nil {
		return nil, err
	}
	made, err := k.Seal(ctx, prov.Witness, ref, commits)
	if lacking == nil && errors.Is(err, provenance.ErrDenied) && root.Policy.Exempts(trust.Kind(hand.Principal.Kind)) {
		exempt, verr := root.Exempted(ctx, s, commits, provenance.Options{Now: in.Now(), Asker: in.askers(s.Repo())})
		if verr == nil && !slices.ContainsFunc(commits, func(c git.Commit) bool { return !exempt[c.ID] }) {
			return nil, nil
		}
	}
	if expired := root.Expired(in.Now()); err == nil && expired != nil {
		in.say("%v: what is sealed verifies when an operator renewed it: covenant trust set --expires 365d", expired)
	}
	if err == nil && len(commits) == 1 {
		in.sources(ctx, s, &commits[0])
	}
	if err == nil && len(in.pairs) > 0 {
		err = in.relate(ctx, k, unlock)
	}
	if lacking != nil {
		err = errors.Join(lacking, err)
	}
	return made, err
}

// link records what commits came to be out of.
func (in *Input) link(ctx context.Context, k *provenance.Sealer) error {
	var items []provenance.Item
	add := func(command string, all []prov.Rewrite) {
		for pairs := range slices.Chunk(all, prov.MaxRewrites) {
			items = append(items, provenance.Item{
				Type: prov.Rewritten, Body: prov.Rewriting{Command: command, Pairs: pairs}, Subject: fmt.Sprintf("commit.rewritten %s %d", command, len(pairs)),
			})
		}
	}
	add(in.command(), in.pairs)
	add(prov.Reseal, in.besides)
	if len(items) == 0 {
		return nil
	}
	_, err := k.Record(ctx, prov.Topic, items...)
	return err
}

// command is the word by which commits came to be out of others.
func (in *Input) command() string {
	if len(in.Args) > 0 && in.Args[0] != "" && len(in.Args[0]) <= 64 {
		return in.Args[0]
	}
	return "rewrite"
}

// cache is what was remembered of this clone, nil where nothing remembered is believed.
func (in *Input) cache(r *git.Repo) *provenance.Cache {
	if in.memo == nil {
		in.memo = sync.OnceValue(func() *provenance.Cache {
			if provenance.Automated(in.lookup) || in.Moment == "pre-receive" || in.Moment == "post-receive" {
				return nil
			}
			return provenance.OpenCache(r, in.ConfigDir)
		})
	}
	return in.memo()
}

// choice is how an identity is chosen at a moment.
func (in *Input) choice() provenance.Choice {
	explicit, _ := in.lookup("COVENANT_IDENTITY")
	if in.Moment == "pre-receive" || in.Moment == "post-receive" {
		explicit = "" // the environment may be the pusher's; who keeps the repository says it in its configuration
	}
	sock, _ := in.lookup("SSH_AUTH_SOCK")
	return provenance.Choice{
		Explicit: explicit, Tool: cmp.Or(in.Tool, agent.Running(in.lookup)), ConfigDir: in.ConfigDir, AgentSock: sock, Ask: in.Ask, Attended: in.Attended, GPG: in.GPG,
	}
}

// How far a hook looks for the commit it was called for.
const (
	overtakenBy  = 1024
	overtakenFor = time.Minute
)

// overtaken finds the commit a post-commit hook was called for. Git does not say
// which: it is what HEAD was when the hook began, unless another process in the same worktree has committed
// since. Then that one's hook, or ours, sealed HEAD before, and the nearest fresh
// commit without a seal is ours. There are as many hooks as commits, and each
// seals one, under the lock. Where Git made the very commit again that was there, as
// by an amend of nothing, or a pick onto its own parent, there is nothing to seal: what is below may be anybody's.
func (in *Input) overtaken(ctx context.Context, s *git.Session, k *provenance.Sealer, head oid.ID) ([]oid.ID, error) {
	id, made := head, map[oid.ID]int(nil)
	for range overtakenBy {
		done, err := k.Sealed(id)
		if err == nil && !done && id != head {
			done, err = k.SealedByAny(ctx, id)
		}
		if err != nil {
			return nil, err
		}
		if id == head && done {
			made = justMade(ctx, s)
		}
		if len(made) > 0 && (made[id] == 0 || made[head] > 1) {
			return nil, nil
		}
		c, err := in.commit(s, id)
		if err != nil {
			return nil, err
		}
		if age := in.Now().Sub(c.Committer.When); id != head && (age > overtakenFor || age < -overtakenFor) {
			return nil, nil
		}
		if !done {
			return []oid.ID{id}, nil
		}
		if len(c.Parents) == 0 {
			return nil, nil
		}
		id = c.Parents[0]
	}
	return nil, nil
}

// justMade returns the commits that HEAD came to in this work tree by being committed, one after another, up to now, and how often: what was there before
// HEAD moved otherwise is nobody's of those. There are none where no reflog is kept.
func justMade(ctx context.Context, s *git.Session) map[oid.ID]int {
	out, err := s.Repo().Run(ctx, nil, "log", "-g", fmt.Sprintf("--max-count=%d", overtakenBy), "--format=%H %gs", "HEAD", "--")
	if err != nil {
		return nil
	}
	made := map[oid.ID]int{}
	for line := range strings.Lines(string(out)) {
		name, how, _ := strings.Cut(strings.TrimSpace(line), " ")
		how, _, _ = strings.Cut(how, ":")
		how, _, _ = strings.Cut(how, " ") // "commit (amend)"; Git does not translate these
		if id, err := oid.Parse(name); err == nil && (how == "commit" || how == "cherry-pick" || how == "revert") {
			made[id]++
			continue
		}
		break
	}
	return made
}

// commits finds what came to be at the moment.
func (in *Input) commits(ctx context.Context, s *git.Session) ([]oid.ID, error) {
	switch in.Moment {
	case "post-commit", "post-applypatch":
		return in.head(s)
	case "post-merge":
		if len(in.Args) > 0 && in.Args[0] == "1" {
			if tree, err := s.Repo().Run(ctx, nil, "write-tree"); err == nil {
				in.foresee(s, strings.TrimSpace(string(tree)))
			}
			return nil, nil // --squash: there is no commit yet
		}
		if forwarded(ctx, s) {
			return nil, nil // others made these commits
		}
		return in.head(s)
	case "post-rewrite":
		return in.rewritten(s)
	}
	return nil, fmt.Errorf("%w: %q", ErrMoment, in.Moment)
}

func (in *Input) head(s *git.Session) ([]oid.ID, error) {
	c, err := s.Commit("HEAD")
	if err != nil {
		return nil, fmt.Errorf("HEAD: %w", err)
	}
	in.last = c
	return []oid.ID{c.ID}, nil
}

// commit reads a commit, unless it is the one that was read last.
func (in *Input) commit(s *git.Session, id oid.ID) (git.Commit, error) {
	if in.last.ID != id {
		c, err := s.Commit(id.String())
		if err != nil {
			return c, err
		}
		in.last = c
	}
	return in.last, nil
}

// forwarded reports whether the merge only moved the branch. Git says so in the
// reflog, in words it does not translate; where there is no reflog, a commit
// with fewer than two parents was not made by a merge.
func forwarded(ctx context.Context, s *git.Session) bool {
	out, err := s.Repo().Run(ctx, nil, "log", "-g", "-1", "--format=%gs", "HEAD", "--")
	subject := strings.TrimSpace(string(out))
	if err == nil && subject != "" {
		return strings.HasSuffix(subject, "Fast-forward")
	}
	c, err := s.Commit("HEAD")
	return err != nil || len(c.Parents) < 2
}

func (in *Input) rewritten(s *git.Session) ([]oid.ID, error) {
	if in.Stdin == nil {
		return nil, nil
	}
	var out []oid.ID
	seen := map[oid.ID]bool{}
	sc := bufio.NewScanner(in.Stdin)
	sc.Buffer(make([]byte, 0, 4096), 1<<20)
	for n := 0; sc.Scan(); n++ {
		if n == maxRewritten {
			return nil, fmt.Errorf("%w: over %d rewritten commits; seal them with: covenant provenance seal", ErrMoment, maxRewritten)
		}
		from, rest, ok := strings.Cut(sc.Text(), " ")
		to, _, _ := strings.Cut(rest, " ")
		id, err := oid.Parse(to)
		old, oerr := oid.Parse(from)
		if !ok || err != nil || oerr != nil || id.Format() != s.Repo().Format() || old.Format() != id.Format() {
			return nil, fmt.Errorf("post-rewrite: line %d is no pair of commits", n+1)
		}
		if old == id {
			continue // Git only went past it
		}
		in.pairs = append(in.pairs, prov.Rewrite{New: id, Old: old})
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("post-rewrite: %w", err)
	}
	return out, nil
}
