package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// acting is who acts at a moment, and who decides.
type acting struct {
	root      *provenance.Root
	authority *capability.Authority
	asker     verdict.Asker
	choice    provenance.Choice
	principal *capability.Principal
	keys      []string // one of which it will sign with
}

// who finds out who acts. Nobody is asked for a passphrase.
func (in *Input) who(ctx context.Context, s *git.Session, pin envelope.Digest) (*acting, error) {
	root, err := in.cache(s.Repo()).OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	return in.whoUnder(ctx, s, root)
}

func (in *Input) whoUnder(ctx context.Context, s *git.Session, root *provenance.Root) (*acting, error) {
	var err error
	a := &acting{root: root, choice: in.choice()}
	a.choice.Cache, a.choice.Refs = in.cache(s.Repo()), in.refs
	if a.authority, _, err = provenance.AuthorityFor(ctx, s, root, a.choice); err != nil {
		return nil, err
	}
	if a.principal, a.keys, err = provenance.ChoosePrincipal(s.Repo(), a.authority, a.choice); err != nil {
		return nil, err
	}
	a.asker = in.asker(s.Repo(), root, a.authority)
	return a, nil
}

func (in *Input) asker(r *git.Repo, root *provenance.Root, a *capability.Authority) verdict.Asker {
	if in.Gate == nil {
		return a
	}
	return in.Gate(r, root, a)
}

// may asks whether the one who acts may, with any of its keys.
func (a *acting) may(q capability.Query, asker verdict.Asker) capability.Decision {
	var d capability.Decision
	for _, k := range a.keys {
		q.KeyID = k
		if d = asker.Decide(q); d.Allowed {
			break
		}
	}
	return d
}

// before refuses, before there is a commit, what would not be sealed: the person need
// not write a message for it. It is a courtesy: what counts is what is committed in
// the end, which is judged afterwards. So the built-in checker answers in this
// process, unless the repository has pinned others.
func before(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	choice := in.choice()
	begin := sync.OnceValue(func() func() stagedChange { return in.stagedAhead(s) })
	if in.cache(s.Repo()).KnowsAgent(choice.Named(s.Repo())) {
		begin() // while the root is read
	}
	root, err := in.cache(s.Repo()).OpenRoot(s, pin)
	if err != nil {
		return nil, err
	}
	plugins := root.Policy != nil && len(root.Policy.Plugins) > 0
	if name := choice.Named(s.Repo()); root.IsOperator(name) && root.Policy.OperatorMay(capability.Commit) && !plugins {
		_, _, err := provenance.ChoosePrincipal(s.Repo(), capability.Fold(provenance.Persons(root), nil, nil), choice)
		return nil, err // whatever it is; or a person's name that an agent must not take
	}
	staged := begin() // while grants are read
	in.refs = provenance.RefsAhead(s)
	a, err := in.whoUnder(ctx, s, root)
	change := staged()
	if err = errors.Join(err, change.err); err != nil {
		return nil, err
	}
	var asker verdict.Asker = a.authority
	if plugins {
		asker = a.asker
	}
	ref, err := s.ActingRef()
	if err != nil {
		return nil, err
	}
	parents, diffs := change.parents, change.diffs
	q := capability.Query{Action: capability.Commit, At: in.Now(), Ref: ref}
	if q.Intent, err = Intent(in.Env, in.ConfigDir, s.Repo()); err != nil {
		return nil, err
	}
	if q.Changes, err = provenance.Touched(s, a.authority, diffs); err != nil {
		return nil, err
	}
	d := a.may(q, asker)
	foreign := in.foreign(s.Repo(), a.principal)
	if d.Allowed && foreign != "" {
		vouch := q
		if vouch.Action = capability.Vouch; !a.may(vouch, asker).Allowed {
			d = capability.Decision{Checkers: d.Checkers, Reason: foreign}
		}
	}
	if d.Allowed && a.root.Policy.AgentTools().RefuseUnrecorded() {
		w, err := in.watching(s, a.root.Policy, a.principal)
		if err != nil {
			return nil, err
		}
		if u, err := w.untold(ctx, func() ([][]prov.Raw, error) { return diffs, nil }); err != nil {
			return nil, err
		} else if !u.empty() {
			return nil, refuseUntold(u)
		}
	}
	if d.Allowed || a.root.Policy.Exempts(trust.Kind(a.principal.Kind)) { // whether Git's signature stands for a seal is seen when there is one
		return nil, nil
	}
	err = in.refuse(ctx, s, a, &q, parents, d)
	var refused *RefusedError
	if errors.As(err, &refused) && d.Reason == foreign && len(a.principal.Emails) > 0 {
		refused.Hint = append([]string{"commit as yourself: git config user.email " + a.principal.Emails[0]}, refused.Hint...)
	}
	return nil, err
}

// foreign says why the commit that is being made would be somebody else's: the committer's address, as far as it is known
// here, is none of the principal's.
func (in *Input) foreign(r *git.Repo, p *capability.Principal) string {
	address, ok := in.lookup("GIT_COMMITTER_EMAIL")
	for _, key := range []string{"committer.email", "user.email"} {
		if !ok {
			address, ok = r.Config().Get(key)
		}
	}
	if !ok || address == "" || slices.ContainsFunc(p.Emails, func(e string) bool { return strings.EqualFold(e, address) }) {
		return ""
	}
	return fmt.Sprintf("the committer's address %s is none of %s's (%s), and to vouch for others' commits takes a grant of %s", address, p.Name, strings.Join(p.Emails, ", "), capability.Vouch)
}

// stagedChange is what a commit would change, and against which parents.
type stagedChange struct {
	parents []oid.ID
	diffs   [][]prov.Raw
	err     error
}

// stagedAhead begins to read what is staged, and returns what waits for it.
func (in *Input) stagedAhead(s *git.Session) func() stagedChange {
	var c stagedChange
	var reading []func() ([]git.Change, error)
	if c.parents, c.err = in.parents(s); c.err == nil {
		against := c.parents
		if len(against) == 0 {
			against = []oid.ID{{}}
		}
		for _, p := range against {
			reading = append(reading, s.StagedAhead(p))
		}
	}
	return func() stagedChange {
		for _, read := range reading {
			list, err := read()
			c.err = errors.Join(c.err, err)
			c.diffs = append(c.diffs, provenance.RawChanges(list))
		}
		return c
	}
}

// parents are the parents that the commit will have.
func (in *Input) parents(s *git.Session) ([]oid.ID, error) {
	parents, err := s.Repo().MergeHeads()
	if err != nil {
		return nil, err
	}
	if len(parents) == 0 && in.Moment == "pre-merge-commit" {
		// git merge has not written MERGE_HEAD yet; it names what it merges in GITHEAD_<commit>.
		for _, kv := range in.Env {
			if rest, ok := strings.CutPrefix(kv, "GITHEAD_"); ok {
				name, _, _ := strings.Cut(rest, "=")
				if id, err := oid.Parse(name); err == nil && id.Format() == s.Repo().Format() && !slices.Contains(parents, id) {
					parents = append(parents, id)
				}
			}
		}
	}
	head, err := s.Head()
	if err == nil && !head.IsZero() {
		parents = append([]oid.ID{head}, parents...)
	}
	return parents, err
}

// refuse records the refusal in the ledger of the one who acts, and returns it. Where it
// can't be recorded it is a refusal all the same.
func (in *Input) refuse(ctx context.Context, s *git.Session, a *acting, q *capability.Query, parents []oid.ID, d capability.Decision) error {
	denied := &provenance.DeniedError{Action: q.Action, Who: a.principal.Name, Reason: d.Reason, Refused: d.Refused}
	if tree, err := s.StagedTree(); err == nil {
		denied = in.deny(ctx, s, a, q, git.Commit{Tree: tree, Parents: parents}, d)
	}
	needed := *q
	if foreign := in.foreign(s.Repo(), a.principal); foreign != "" && d.Reason == foreign {
		needed.Action = capability.Vouch
	}
	err := refused(a, denied, &needed)
	if len(parents) > 1 && a.principal.Accountable != a.principal.Name {
		err.Hint = append(err.Hint, "or put the work on top of it, where others answer for what they changed: git merge --abort, then git rebase "+parents[1].Short())
	}
	return err
}

// deny records a refusal in the ledger of the one who acts, if it has its key; it names the tree and the parents of a commit, which nobody need have made.
func (in *Input) deny(ctx context.Context, s *git.Session, a *acting, q *capability.Query, c git.Commit, d capability.Decision) *provenance.DeniedError {
	out := &provenance.DeniedError{Commit: c.ID, Action: q.Action, Who: a.principal.Name, Reason: d.Reason, Refused: d.Refused}
	hand, err := provenance.ChooseHand(s.Repo(), a.authority, a.choice)
	if err != nil {
		return out
	}
	k := &provenance.Sealer{Session: s, Root: a.root, Authority: a.authority, Hand: hand, Moment: in.Moment, Now: in.Now, Intent: q.Intent}
	var recorded *provenance.DeniedError
	if errors.As(k.Deny(ctx, q.Action, q.Ref, git.Commit{Tree: c.Tree, Parents: c.Parents}, d), &recorded) {
		out.Entry = recorded.Entry
	}
	return out
}

// fewPaths is how many paths a hint names one by one.
const fewPaths = 8

// refused says what to do about a refusal: how to see why, and whom to ask for what. needed is what a grant would have to
// allow; nil where all that is known of it is the action.
func refused(a *acting, d *provenance.DeniedError, needed *capability.Query) *RefusedError {
	e := &RefusedError{Err: d}
	if d.Entry != "" {
		e.Hint = append(e.Hint, "see why, and what would be needed: covenant capability explain "+d.Entry.Short())
	}
	if needed != nil && a.may(*needed, a.authority).Allowed {
		e.Hint = append(e.Hint, "no grant changes that, since it is a plugin of the policy that refused or gave no answer: covenant plugin verify")
		return e
	}
	if a.principal.Accountable != a.principal.Name {
		ask := []string{"covenant", "capability", "request", "--action", d.Action}
		if needed != nil {
			ask[len(ask)-1] = needed.Action
			if s, err := capability.Needed(needed, fewPaths); err == nil {
				ask = append(ask, s.Flags()...)
			}
		}
		for i, w := range ask {
			ask[i] = word(w)
		}
		e.Hint = append(e.Hint, fmt.Sprintf("ask %s, who answers for %s: COVENANT_IDENTITY=%s %s --expires 8h --reason 'why it is needed'",
			a.principal.Accountable, a.principal.Name, word(cmp.Or(a.choice.Explicit, a.principal.Name)), strings.Join(ask, " ")))
	}
	return e
}

// word quotes s as one word of a shell. What is not seen as it is, is written in octal, which bash, zsh and ksh read.
func word(s string) string {
	hidden := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	switch {
	case strings.ContainsFunc(s, hidden):
		var b strings.Builder
		for _, c := range []byte(s) {
			if c < ' ' || c >= 0x7f || c == '\'' || c == '\\' {
				fmt.Fprintf(&b, `\%03o`, c)
				continue
			}
			b.WriteByte(c)
		}
		return "$'" + b.String() + "'"
	case s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:@%+,", r)
	}):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
