package intents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// ErrRefused says that a statement about an intent would not count, so it was not written.
var ErrRefused = errors.New("refused")

// Kind is why something was refused.
type Kind int

// Kinds of refusals.
const (
	Illegal   Kind = iota + 1 // its state has no such way
	WrongRole                 // nobody goes that way in this role
	Ungranted                 // no grant allows it
	Unshown                   // a gate has no artifact
	Circle                    // it would need, or be a part of, itself
	Taken                     // the name is another intent's
	Nothing                   // it would change nothing
)

// A RefusedError says what was refused, and why. It wraps ErrRefused.
type RefusedError struct {
	Kind   Kind
	Intent *intent.Intent // nil when it was to be opened
	To     intent.State   // of a move
	Role   intent.Role
	Ahead  []intent.Role   // in which the rest of the way is gone, where there is more
	Action string          // that needs a grant
	Gates  []intent.Gate   // that have nothing to show
	Record envelope.Digest // of the refusal, where no grant allowed it
	Reason string
}

func (e *RefusedError) Error() string { return "refused: " + e.Reason }

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// may asks whether the hand may act, and records that it may not.
func (b *Book) may(ctx context.Context, k *provenance.Sealer, action string, about intent.ID, role intent.Role) error {
	q := Query(k.Hand.Signer.Public().ID(), action, about, role)
	d := k.Ask(q)
	switch {
	case d.Allowed:
		return nil
	case d.Unanswered:
		return fmt.Errorf("%w: %s", provenance.ErrUnanswered, d.Reason)
	}
	q.Intent = string(about) // of the record: nobody was asked about work that this is done for
	denied := k.Forbid(ctx, q, d)
	return &RefusedError{Kind: Ungranted, Role: role, Action: action, Reason: denied.Error(), Record: denied.Entry}
}

// Begin opens an intent and returns its id, and the entry that opened it.
func (b *Book) Begin(ctx context.Context, k *provenance.Sealer, o intent.Opened) (intent.ID, envelope.Digest, error) {
	made, err := b.BeginAll(ctx, k, []intent.Opened{o})
	if err != nil {
		return "", "", err
	}
	return intent.IDOf(made[0]), made[0], nil
}

// Fits tells why an intent could not be opened so, whoever asks: it is malformed, names what is not here, or its name is another's.
func (b *Book) Fits(o *intent.Opened) error {
	if err := o.Validate(); err != nil {
		return err
	}
	return b.fits("", &o.Fields, nil)
}

// BeginAll opens intents, all or none, and returns the entries that opened them.
func (b *Book) BeginAll(ctx context.Context, k *provenance.Sealer, list []intent.Opened) ([]envelope.Digest, error) {
	type act struct {
		action string
		parent intent.ID
	}
	asked, names := map[act]bool{}, map[string]bool{}
	items := make([]provenance.Item, 0, len(list))
	for i := range list {
		o := &list[i]
		if err := b.Fits(o); err != nil {
			return nil, err
		}
		if o.Name != "" && names[o.Name] {
			return nil, &RefusedError{Kind: Taken, Reason: fmt.Sprintf("the name %s is there twice", o.Name)}
		}
		names[o.Name] = true
		a := act{intent.OpenAction, o.Parent}
		if o.State != "" || o.Imported != nil {
			a.action = intent.ImportAction
		}
		if !asked[a] {
			if err := b.may(ctx, k, a.action, a.parent, ""); err != nil {
				return nil, err
			}
			asked[a] = true
		}
		items = append(items, provenance.Item{Type: intent.OpenedType, Body: o, Subject: "intent.opened " + subject(o.Title)})
	}
	if len(items) == 0 {
		return nil, nil
	}
	made, err := k.Record(ctx, intent.Topic, items...)
	if err != nil {
		return nil, err
	}
	out := make([]envelope.Digest, 0, len(made))
	for _, m := range made {
		out = append(out, m.ID)
	}
	return out, nil
}

// subject cuts a title for the subject of an entry's commit.
func subject(title string) string {
	r := []rune(title)
	return string(r[:min(len(r), 60)])
}

// fits holds fields to what other intents say: those it names are there, no circle comes to be, and its name is nobody else's. had are
// the fields as they were.
func (b *Book) fits(id intent.ID, f, had *intent.Fields) error {
	named := slices.Clone(f.Needs)
	if f.Parent != "" {
		named = append(named, f.Parent)
	}
	for _, n := range named {
		if r, ok := b.Row(n); !ok || r.Void != "" {
			return fmt.Errorf("%w: %.80q", ErrUnknown, n)
		}
	}
	if id != "" {
		for _, n := range f.Needs {
			if b.reaches(n, id, map[intent.ID]bool{}) {
				return &RefusedError{Kind: Circle, Reason: fmt.Sprintf("%s needs %s already, or is it: each would wait for the other", n.Short(), id.Short())}
			}
		}
		if f.Parent != "" && b.above(f.Parent, id) {
			return &RefusedError{Kind: Circle, Reason: fmt.Sprintf("%s is a part of %s, or is it", f.Parent.Short(), id.Short())}
		}
	}
	if f.Name != "" && (had == nil || had.Name != f.Name) {
		if intent.LikeID(f.Name) {
			return fmt.Errorf("%w: name %q looks like an id", intent.ErrInvalid, f.Name)
		}
		for i := range b.rows.len() {
			if r := b.rows.brief(i); r.Name == f.Name && r.ID != id && !r.Void() {
				return &RefusedError{Kind: Taken, Reason: fmt.Sprintf("the name %s is that of intent %s", f.Name, r.ID.Short())}
			}
		}
	}
	return nil
}

// Edit changes what an intent says.
func (b *Book) Edit(ctx context.Context, k *provenance.Sealer, id intent.ID, change func(*intent.Fields) error) (*intent.Intent, error) {
	_, s, err := b.StateOf(id)
	if err != nil {
		return nil, err
	}
	f := s.Fields
	if err := change(&f); err != nil {
		return nil, err
	}
	e := intent.Edited{After: s.Last, Intent: id, Set: f}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if sameFields(&f, &s.Fields) {
		return nil, &RefusedError{Kind: Nothing, Intent: s, Reason: "it says so already"}
	}
	if err := b.fits(id, &f, &s.Fields); err != nil {
		return nil, err
	}
	if err := b.may(ctx, k, intent.EditAction, id, ""); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(s.Fields.Gates, func(g intent.Gate) bool { return !slices.Contains(f.Gates, g) }) {
		if err := b.may(ctx, k, intent.WaiveAction, id, ""); err != nil {
			return nil, err
		}
	}
	made, err := k.Record(ctx, intent.Topic, provenance.Item{Type: intent.EditedType, Body: e, Subject: "intent.edited " + id.Short()})
	if err != nil {
		return nil, err
	}
	return b.took(s, k, made[0], &intent.Fact{ID: made[0].ID, Edited: &e}), nil
}

func sameFields(a, b *intent.Fields) bool {
	x, err1 := envelope.Statement("x", envelope.Header{}, a)
	y, err2 := envelope.Statement("x", envelope.Header{}, b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// Step is what is wanted of a move.
type Step struct {
	To        intent.State
	Role      intent.Role // "": the first in which the hand may go there
	Note      string
	Next      string
	Artifacts []intent.Artifact
}

// Move takes an intent to another state, and returns it as it is then. What would not count is refused, with a *RefusedError, and not written.
func (b *Book) Move(ctx context.Context, k *provenance.Sealer, id intent.ID, step Step) (*intent.Intent, error) {
	_, s, err := b.StateOf(id)
	if err != nil {
		return nil, err
	}
	roles := intent.RolesFor(s.State, step.To)
	if roles == nil {
		reason := fmt.Sprintf("%s is %s: it cannot go from there to %s", id.Short(), s.State, step.To)
		if s.State == step.To {
			reason = fmt.Sprintf("%s is %s already", id.Short(), s.State)
		}
		return nil, &RefusedError{Kind: Illegal, Intent: s, To: step.To, Reason: reason}
	}
	if step.Role == "" {
		step.Role = b.roleFor(k, id, roles)
	}
	m := intent.Moved{After: s.Last, Artifacts: slices.Clone(step.Artifacts), From: s.State, Intent: id, Next: step.Next, Note: step.Note, Role: step.Role, To: step.To}
	slices.SortFunc(m.Artifacts, func(a, b intent.Artifact) int { return strings.Compare(string(a.Gate), string(b.Gate)) })
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if why := s.Legal(&m); why != "" {
		e := &RefusedError{Kind: WrongRole, Intent: s, To: step.To, Role: step.Role, Reason: id.Short() + ": " + why}
		if e.Gates = s.Missing(step.To, m.Artifacts); slices.Contains(roles, step.Role) {
			e.Kind = Unshown
		}
		return nil, e
	}
	if err := b.holds(ctx, k, s, &step); err != nil {
		return nil, err
	}
	if err := b.may(ctx, k, intent.MoveAction, id, step.Role); err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) {
			refused.Intent, refused.To = s, step.To
		}
		return nil, err
	}
	made, err := k.Record(ctx, intent.Topic, provenance.Item{Type: intent.MovedType, Body: m, Subject: fmt.Sprintf("intent.moved %s %s", id.Short(), m.To)})
	if err != nil {
		return nil, err
	}
	return b.took(s, k, made[0], &intent.Fact{ID: made[0].ID, Moved: &m}), nil
}

// roleFor returns the first role in which the hand may act, else the first.
func (b *Book) roleFor(k *provenance.Sealer, id intent.ID, roles []intent.Role) intent.Role {
	if len(roles) > 1 && !k.Hand.Principal.Operator {
		for _, r := range roles {
			if k.Ask(Query(k.Hand.Signer.Public().ID(), intent.MoveAction, id, r)).Allowed {
				return r
			}
		}
	}
	return roles[0]
}

// took is an intent with a statement that was just written, without reading it back.
func (b *Book) took(s *intent.Intent, k *provenance.Sealer, made ledger.Appended, f *intent.Fact) *intent.Intent {
	f.Key, f.By, f.Time = k.Hand.Signer.Public().ID(), k.Hand.Principal.Name, envelope.Timestamp(k.Now())
	out := s.With(f)
	b.whole[s.ID] = out
	b.wrote(out, made)
	if i, ok := b.number()[s.ID]; ok {
		r := rowOf(out)
		r.at = b.rows.at(i).at
		b.rows.put(i, r)
	}
	return out
}

// Show makes of what people name an artifact: text that says where it is, PATH@REVISION as Git names it, or the id of an entry.
func Show(s *git.Session, gate intent.Gate, ref string) (intent.Artifact, error) {
	a := intent.Artifact{Gate: gate, Ref: ref}
	path, rev, at := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, '@'); i >= 0 {
		path, rev = ref[:i], ref[i+1:]
	}
	if !at || strings.HasPrefix(ref, "text:") || envelope.Digest(ref).Valid() {
		return a, a.Validate()
	}
	c, err := s.Commit(rev + "^{commit}")
	if err != nil {
		return a, fmt.Errorf("artifact of gate %s: %w", gate, err)
	}
	a.Ref = path + "@" + c.ID.String()
	if err := a.Validate(); err != nil {
		return a, err
	}
	if _, err := s.Object(c.ID.String()+":"+path, 0); errors.Is(err, git.ErrMissing) {
		return a, fmt.Errorf("artifact of gate %s: commit %s has no %q: %w", gate, c.ID.Short(), path, err)
	}
	return a, nil
}
