package trustcmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Change is a new version of the root that one operator signs.
type Change struct {
	Act  string // for people: "add ben"
	JSON bool
	// Edit makes the change in the draft of the next version. What else must sign, beside the
	// operator's own key, is returned.
	Edit func(*Hand, *trust.Root) ([]identity.Signer, error)
	// Base is the version that the change was made from: under another one it is refused. "" is any.
	Base envelope.Digest
	// Key says where the operator's private key is once the version is in force; nil: where it was.
	Key func() string
}

// Hand is the operator who acts, and the root as it is.
type Hand struct {
	Work   *work.Work
	Root   *provenance.Root
	Name   string
	Signer identity.Signer
}

// Changed is what a change prints with --json.
type Changed struct {
	Type    string   `json:"type"` // "trust-changed"
	Version int      `json:"version"`
	Digest  string   `json:"digest"`
	Adopted bool     `json:"adopted"` // it is in force; else it is staged
	Ref     string   `json:"ref"`
	Signed  []string `json:"signed"`
	Missing []string `json:"missing"`
	Changes []string `json:"changes"`
}

// ErrNothing says that a change changes nothing.
var ErrNothing = errors.New("nothing would change")

// Do makes the change as the operator who acts here: it signs the next version, and
// puts it in force or stages it. Presence is asked for as the policy in force demands.
func Do(ctx context.Context, env *cli.Env, c Change) error {
	o, err := open(ctx, env, current)
	if err != nil {
		return err
	}
	defer o.w.Close()
	h, err := o.hand(ctx, o.root.Root)
	if err != nil {
		return err
	}
	if c.Base != "" && c.Base != o.root.Digest {
		return explain(o.root, env.Now(), fmt.Errorf("%w: %s", provenance.ErrRootMoved, o.root.Digest))
	}
	next, err := o.root.Current().Next(envelope.Timestamp(env.Now()))
	if err != nil {
		return err
	}
	extra, err := c.Edit(h, next)
	if err != nil {
		return explain(o.root, env.Now(), err)
	}
	changes := trust.Changes(o.root.Root, next)
	if len(changes) == 0 {
		return explain(o.root, env.Now(), ErrNothing)
	}
	if err := next.Validate(); err != nil {
		return explain(o.root, env.Now(), fmt.Errorf("version %d would not be valid: %w", next.Version, err))
	}
	if err := o.warnOfLeaving(ctx, next); err != nil {
		return explain(o.root, env.Now(), err)
	}
	if err := o.newest(ctx, next); err != nil {
		return err
	}
	if err := o.w.Presence(o.root, h.Signer.Public(), fmt.Sprintf("sign version %d of the trust root (%s)", next.Version, c.Act)); err != nil {
		return err
	}
	keys := o.nextKeys()
	if c.Key != nil { // before the version: whatever comes in between, the operator's key is found
		keys[h.Name] = c.Key()
		if err := o.w.SetConfig(ctx, false, provenance.NextKeyOf(h.Name), c.Key()); err != nil {
			return err
		}
	}
	by := append([]identity.Signer{h.Signer}, extra...)
	if err := o.leave(ctx, h, next, by); err != nil {
		return explain(o.root, env.Now(), err)
	}
	out, err := provenance.Propose(ctx, o.w.Session, o.root, next, env.Now(), by...)
	if err != nil {
		return explain(o.root, env.Now(), err)
	}
	if c.Key != nil && !out.Adopted {
		env.Talk().Warn("until it is in force you act with the key you have; what that signs from now on counts for nothing afterwards")
	}
	return o.finish(ctx, h, out, changes, c.JSON, keys)
}

// MayChange reports why who acts here can't change the trust root, before somebody takes the trouble to say how. No key is asked for
// where a name says who it is.
func MayChange(ctx context.Context, env *cli.Env) error {
	o, err := open(ctx, env, current)
	if err != nil {
		return err
	}
	defer o.w.Close()
	authority, _, err := provenance.AuthorityFor(ctx, o.w.Session, o.root, o.w.Choice())
	if err != nil {
		return work.Explain(err)
	}
	p, _, err := provenance.ChoosePrincipal(o.w.Session.Repo(), authority, o.w.Choice())
	if err != nil {
		return noHand(err)
	}
	return operator(o.root.Root, p.Name)
}

// noHand says how somebody acts whom nothing here says to act.
func noHand(err error) error {
	if errors.Is(err, provenance.ErrOtherKey) {
		return work.Explain(err)
	}
	return cli.Hint(err, "act with your key: COVENANT_IDENTITY=PATH-OF-YOUR-PRIVATE-KEY covenant trust …",
		"or choose it for this clone: covenant identity use NAME --key PATH")
}

// operator refuses who is none.
func operator(r *trust.Root, name string) error {
	if r.IsOperator(name) {
		return nil
	}
	return cli.No(cli.Hint(fmt.Errorf("only an operator changes the trust root, and %s is none", name), "act as an operator: COVENANT_IDENTITY=NAME", "see who is: covenant trust show"))
}

// newest refuses to go on from a version of the trust root when the record names a later one, unless the next one says that it is not meant.
func (o *opened) newest(ctx context.Context, next *trust.Root) error {
	f, err := provenance.Load(ctx, o.w.Session, o.pin.Digest)
	if err != nil {
		return work.Explain(err)
	}
	for _, p := range f.Problems {
		if p.Code == verdict.RootWithheld && p.Object != "" && !slices.Contains(next.Against, envelope.Digest(p.Object)) {
			return cli.No(cli.Hint(fmt.Errorf("%s: %s", p.Code, p.Message), p.Hint))
		}
	}
	return nil
}

// leave has a key that next removes, and that alone puts it in force, say so first: where the root is taken back to before, that key is
// the one that counts.
func (o *opened) leave(ctx context.Context, h *Hand, next *trust.Root, by []identity.Signer) error {
	if o.root.Threshold > 1 || next.Threshold > 1 || !slices.ContainsFunc(next.Former, func(f trust.Former) bool {
		return f.Until == next.Created && slices.Contains(f.Keys, h.Signer.Public().String())
	}) {
		return nil
	}
	if err := provenance.Try(ctx, o.w.Session, o.root, next, by...); err != nil {
		return err
	}
	return o.said(ctx, o.root, h, trust.Adoption{Version: next.Version}, "root.leaving for version %d by %s")
}

// nextKeys are the keys that versions which were not in force yet were to give to persons of this clone, by name.
func (o *opened) nextKeys() map[string]string {
	out := map[string]string{}
	for _, p := range o.root.Persons {
		if where, ok := o.w.Session.Repo().Config().Get(provenance.NextKeyOf(p.Name)); ok {
			out[p.Name] = where
		}
	}
	return out
}

// settle writes down which keys persons of this clone have under a version that came into force.
func (o *opened) settle(ctx context.Context, root *provenance.Root, keys map[string]string) {
	authority := capability.Fold(provenance.Persons(root), nil, nil)
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		p, ok := authority.ByName(name)
		if !ok || !o.w.Choice().Holds(p, keys[name]) {
			continue // of a version that is not in force yet
		}
		err := o.w.SetConfig(ctx, false, provenance.KeyOf(name), keys[name])
		if err == nil {
			err = o.w.UnsetConfig(ctx, provenance.NextKeyOf(name))
		}
		if err != nil {
			t := o.w.Env.Talk()
			t.Warn("it is in force, and this clone's configuration still names the key before it: %v", err)
			t.Hint(append(cli.Hints(err), "then: covenant identity use "+name+" --key "+say.Shell(keys[name]))...)
		}
	}
}

// warnOfLeaving tells, before it is signed, what becomes of work that keys signed in other clones when a version removes them.
func (o *opened) warnOfLeaving(ctx context.Context, next *trust.Root) error {
	list, err := provenance.Leaves(ctx, o.w.Session, o.root, next)
	if err != nil {
		return err
	}
	t := o.w.Env.Talk()
	told := false
	remotes := o.w.Session.Repo().Config().Keys("remote.")
	for _, l := range list {
		for _, name := range l.Pruned {
			t.Warn("nobody but %s's key %s says that entries of %s were dropped, and nobody had seen that before it was stolen: from version %d on the ledger counts as cut there", l.Name, l.KeyID, name, next.Version)
			t.Hint("if it was right, say so again once the version is in force: covenant audit prune --again --ledger " + name + " --reason TEXT")
		}
		if len(l.Elsewhere) == 0 && len(remotes) == 0 {
			continue // there is no sign of another clone
		}
		told = true
		t.Warn("what %s's key %s signed in other clones, and is not in this one yet, counts for nothing from version %d on", l.Name, l.KeyID, next.Version)
		for _, e := range l.Elsewhere {
			t.Note("of %s, written elsewhere, entries up to %d of %s are here, and stand", e.Ledger, e.Seq, e.Time)
		}
	}
	if told {
		t.Hint("first let the other clones publish, and fetch it here: covenant sync, there and then here")
	}
	return nil
}

// warnOfLate tells, before a draft is signed, what keys that it removes signed after it was made.
func (o *opened) warnOfLate(ctx context.Context, next *trust.Root) error {
	f, err := provenance.Load(ctx, o.w.Session, o.pin.Digest)
	if err != nil {
		return err
	}
	late, err := f.LateUnder(o.w.Session, next)
	for _, l := range late {
		o.w.Env.Talk().Warn("what %s's key %s signed after version %d was made counts for nothing once it is in force: entries %d to %d of %s", l.Name, l.KeyID, next.Version, l.From, l.To, l.Ledger)
	}
	if len(late) > 0 {
		o.w.Env.Talk().Hint("do it again with the new key when the version is in force; see what it is: covenant doctor")
	}
	return err
}

// hand finds the operator who acts here: one of the version in force, or of doc.
func (o *opened) hand(ctx context.Context, doc *trust.Root) (*Hand, error) {
	who := both(o.root.Root, doc)
	r := &provenance.Root{Root: who, ID: o.root.ID, Digest: o.root.Digest, Versions: o.root.Versions}
	authority, _, err := provenance.AuthorityFor(ctx, o.w.Session, r, o.w.Choice())
	if err != nil {
		return nil, work.Explain(err)
	}
	hand, err := provenance.ChooseHand(o.w.Session.Repo(), authority, o.w.Choice())
	if err != nil {
		return nil, noHand(err)
	}
	if err := operator(who, hand.Principal.Name); err != nil {
		return nil, err
	}
	return &Hand{Work: o.w, Root: o.root, Name: hand.Principal.Name, Signer: hand.Signer}, nil
}

// both is a document with the persons and operators of two versions, to find keys by. It is never signed.
func both(a, b *trust.Root) *trust.Root {
	out := *a
	out.Persons = slices.Clone(a.Persons)
	out.Operators = slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.Operators, b.Operators))))
	for _, p := range b.Persons {
		i := slices.IndexFunc(out.Persons, func(q trust.Person) bool { return q.Name == p.Name })
		if i < 0 {
			out.Persons = append(out.Persons, p)
			continue
		}
		out.Persons[i].Keys = slices.Compact(slices.Sorted(slices.Values(slices.Concat(out.Persons[i].Keys, p.Keys))))
	}
	return &out
}

// explain adds what to type next to a refused change.
func explain(r *provenance.Root, now time.Time, err error) error {
	var staged *provenance.StagedError
	var taken *provenance.TakenError
	switch {
	case len(cli.Hints(err)) > 0:
		return err
	case errors.As(err, &taken):
		who := "see who it is: covenant identity show " + taken.Owner
		if taken.KeyID == "" {
			return cli.Hint(err, "choose another name", who)
		}
		return cli.Hint(err, "a key is one principal's only; make one for "+taken.Person+": ssh-keygen -t ed25519 -f FILE", who)
	case errors.As(err, &staged):
		return cli.Hint(err, "look at it: covenant trust show", "sign it: covenant trust sign "+string(staged.Staged.ID),
			fmt.Sprintf("or give it up: git update-ref -d %s%d", provenance.StagedPrefix, staged.Staged.Version))
	case errors.Is(err, provenance.ErrSeen):
		return cli.Hint(err, "fetch what the others have, and sign then: covenant sync", "if nobody has it, the draft is not to be signed: ask who made it")
	case errors.Is(err, provenance.ErrRootMoved):
		return cli.Hint(err, "look at it, and try again: covenant trust show")
	case errors.Is(err, trust.ErrInvalid) && r.Expired(now) != nil:
		return cli.Hint(err, "the version in force has expired; renew it first: covenant trust set --expires 365d")
	case errors.Is(err, trust.ErrInvalid), errors.Is(err, trust.ErrChange), errors.Is(err, ErrNothing):
		return cli.Hint(err, "see what is in force: covenant trust show")
	}
	return work.Explain(err)
}

// record has the operator's ledger say that the version came into force: the entry names the version, and others who see it
// will miss the version where it is withheld. Who is no principal of the new version writes nothing.
func (o *opened) record(ctx context.Context, h *Hand, out *provenance.Outcome) error {
	return o.said(ctx, out.Root, h, trust.Adoption{Digest: out.Root.Digest, Version: out.Root.Version}, "root.adopted version %d by %s")
}

func (o *opened) said(ctx context.Context, root *provenance.Root, h *Hand, what trust.Adoption, subject string) error {
	authority := capability.Fold(provenance.Persons(root), nil, nil)
	p, ok := authority.ByKey(h.Signer.Public().ID())
	if !ok || p.Gone(o.w.Env.Now()) {
		return nil
	}
	k := &provenance.Sealer{
		Session: o.w.Session, Root: root, Authority: authority, Moment: "command", Now: o.w.Env.Now,
		Hand: provenance.Hand{Principal: p, Signer: h.Signer, Attended: terminal.Attended(), Tool: o.w.Choice().Tool},
	}
	_, err := k.Record(ctx, provenance.AuditTopic, provenance.Item{
		Type: trust.Adopted, Body: what, Subject: fmt.Sprintf(subject, what.Version, p.Name),
	})
	return err
}

// finish tells what became of a draft, and takes the pin of the configuration along, and the keys of persons here. What is in
// force is so whether or not these could be written: the pin is a floor, and keys are found without.
func (o *opened) finish(ctx context.Context, h *Hand, out *provenance.Outcome, changes []string, asJSON bool, keys map[string]string) error {
	env := o.w.Env
	if out.Adopted && o.pin.Source == work.Config {
		if err := o.w.SetConfig(ctx, false, provenance.PinKey, string(out.Root.Digest)); err != nil {
			env.Talk().Warn("version %d is in force, and only the pin could not be written: %v", out.Root.Version, err)
			env.Talk().Hint(append(cli.Hints(err), "then: covenant trust pin")...)
		}
	}
	if out.Adopted {
		o.settle(ctx, out.Root, keys)
		if err := o.record(ctx, h, out); err != nil {
			env.Talk().Warn("it is in force, and no ledger says so: %v", err)
		}
	}
	c := Changed{
		Type: "trust-changed", Version: out.Draft.Version, Digest: string(out.Draft.ID), Adopted: out.Adopted, Ref: out.Ref,
		Signed: out.Draft.Signed(), Missing: append([]string{}, out.Draft.Missing()...), Changes: append([]string{}, changes...),
	}
	if asJSON {
		return env.JSON(c)
	}
	p, n := env.Palette(), out.Draft.Version
	word := p.Good("in force")
	if !c.Adopted {
		word = p.Warn("staged")
	}
	if _, err := fmt.Fprintf(env.Out, "%s: version %d %s, signed by %s\n", word, n, c.Digest, strings.Join(c.Signed, ", ")); err != nil {
		return err
	}
	for _, line := range changes {
		if _, err := fmt.Fprintf(env.Out, "  %s\n", say.Line(line)); err != nil {
			return err
		}
	}
	t := env.Talk()
	if !c.Adopted {
		for _, tally := range []trust.Tally{out.Draft.Old, out.Draft.New} {
			if !tally.Met() {
				t.Note("%d more of the operators of version %d must sign: %s", tally.Need-len(tally.Signed), tally.Version, strings.Join(tally.Missing, ", "))
			}
		}
		t.Hint("publish it: covenant sync", fmt.Sprintf("they fetch it, and sign: covenant sync; covenant trust sign %d; covenant sync", n))
	} else {
		t.Hint("publish it: covenant sync")
	}
	for _, person := range out.Draft.Root.Persons {
		if o.root.Person(person.Name) == nil && person.Name != h.Name {
			t.Hint(fmt.Sprintf("first %s says in a clone of their own, after covenant sync, where the key is: covenant identity use %s --key PATH", person.Name, person.Name))
			if !out.Draft.Root.IsOperator(person.Name) {
				t.Hint(fmt.Sprintf("who is no operator may do what is granted: covenant capability grant --to %s --action repo.commit", person.Name))
			}
		}
	}
	return nil
}
