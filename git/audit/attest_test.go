package audit_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/git/audit"
	gp "github.com/open-covenant/covenant-git/git/provenance"
)

// attest signs an attestation as it should be, but for what change makes of it.
func (w *world) attest(id string, change func(*release.Predicate)) envelope.Digest {
	w.t.Helper()
	made := w.checkpoint()
	k := w.sealer()
	before, err := audit.OpenAttestations(k.Session, w.facts(), w.clock)
	if err != nil {
		w.t.Fatal(err)
	}
	head, err := k.Session.Commit("HEAD")
	if err != nil {
		w.t.Fatal(err)
	}
	p := release.Predicate{ID: id, Commit: head.ID, Checkpoint: release.Checkpoint{Entry: made.ID, Note: string(made.Note.Bytes())}}
	if last, ok := before.Last(); ok {
		p.Previous, p.Scope.From = last.ID, last.Statement.Predicate.Commit
	}
	if p.Scope, err = gp.ScopeOf(k.Session, p.Scope.From, p.Commit); err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(&p)
	}
	made2, err := k.Attest(context.Background(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return made2
}

// found says of each attestation by name what is wrong with it.
func (w *world) found() map[string]string {
	w.t.Helper()
	l, err := audit.OpenAttestations(w.session(), w.facts(), w.clock)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	for i := range l.List {
		var codes []string
		for _, x := range l.Wrong(&l.List[i]) {
			codes = append(codes, strings.TrimPrefix(string(x.Code), "attestation."))
		}
		out[l.List[i].Statement.Predicate.ID] = strings.Join(codes, " ")
	}
	return out
}

// What an attestation says is held to what is here: each row signs one that says something else.
func TestAttestationLies(t *testing.T) {
	for name, row := range map[string]struct {
		change func(w *world, p *release.Predicate)
		want   string
	}{
		"nothing":                   {func(*world, *release.Predicate) {}, ""},
		"fewer commits":             {func(_ *world, p *release.Predicate) { p.Scope.Commits-- }, "scope"},
		"other commits":             {func(_ *world, p *release.Predicate) { p.Scope.SHA256 = release.Names(nil) }, "scope"},
		"a range that begins later": {func(_ *world, p *release.Predicate) { p.Scope.From = p.Commit }, "scope"},
		"another checkpoint's text": {func(_ *world, p *release.Predicate) { p.Checkpoint.Note = "x\n" + p.Checkpoint.Note }, "record"},
		"a checkpoint nobody made":  {func(_ *world, p *release.Predicate) { p.Checkpoint.Entry = p.Previous }, "record"},
		"none before it":            {func(_ *world, p *release.Predicate) { p.Previous = "" }, "chain"},
		"one before it that nobody has": {func(_ *world, p *release.Predicate) {
			p.Previous = envelope.Digest("sha256:" + strings.Repeat("1", 64))
		}, "chain"},
		"a tag that leads elsewhere": {func(w *world, p *release.Predicate) {
			w.git("tag", "v", "HEAD~1")
			s := w.session()
			h, err := gp.HeadOf(s, "refs/tags/v")
			if err != nil {
				w.t.Fatal(err)
			}
			p.Tag, p.TagName = h.ID, "refs/tags/v"
		}, "tag"},
		"a tag that is not here": {func(_ *world, p *release.Predicate) { p.Tag, p.TagName = p.Commit, "refs/tags/none" }, "not-here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.note("one")
			w.attest("first", nil)
			w.git("commit", "-q", "--allow-empty", "-m", "y")
			w.git("commit", "-q", "--allow-empty", "-m", "z")
			w.attest("second", func(p *release.Predicate) { row.change(w, p) })
			if got := w.found(); got["first"] != "" || got["second"] != row.want {
				t.Errorf("%v, want %q of the second", got, row.want)
			}
		})
	}
}

// Two clones that know nothing of each other go on from the same one: the earlier holds, and the next goes on from it. Who may not attest is nobody's
// rival, and says nothing.
func TestAttestationsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.attest("first", nil)
	begin := w.facts().Attested[0].ID
	fork := func(p *release.Predicate) { p.Previous = begin }
	w.attest("a", fork)
	w.renew()
	w.attest("b", fork)
	if got := w.found(); fmt.Sprint(got) != "map[a: b:chain first:]" {
		t.Errorf("%v", got)
	}
	w.attest("c", nil)
	l, err := audit.OpenAttestations(w.session(), w.facts(), w.clock)
	if err != nil {
		t.Fatal(err)
	}
	if last, ok := l.Last(); !ok || last.Statement.Predicate.ID != "c" || w.found()["c"] != "" {
		t.Errorf("%v", w.found())
	}

	eve, err := identity.Generate(filepath.Join(t.TempDir(), "eve"), "eve", nil)
	if err != nil {
		t.Fatal(err)
	}
	grant := func(action string) envelope.Digest {
		id, err := w.sealer().Grant(context.Background(), capability.Grant{
			Action: action, Scope: capability.Whole, Subject: capability.Subject{Emails: []string{"eve@example.org"}, Key: eve.Public().String(), Kind: "agent", Name: "eve"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	grant(capability.Commit)
	as := func(id string) {
		k := w.sealer()
		p, _ := k.Authority.ByName("eve")
		k.Hand = gp.Hand{Principal: p, Signer: eve}
		st := l.List[0].Statement.Predicate
		st.ID, st.Previous, st.Principal = id, begin, provenance.Principal{}
		if _, err := k.Attest(context.Background(), st); err != nil {
			t.Fatal(err)
		}
	}
	as("eve's")
	if got := w.found(); got["eve's"] != "authority" || got["a"] != "" {
		t.Errorf("%v", got)
	}

	// Nor does she hold a name, or make one that is attested not hold; who may attests each once.
	as("held")
	mine := w.attest("held", nil)
	again := w.attest("held", nil)
	if l, err = audit.OpenAttestations(w.session(), w.facts(), w.clock); err != nil {
		t.Fatal(err)
	}
	if first := l.Of("held"); first == nil || first.ID != mine {
		t.Errorf("%v", first)
	}
	for i := range l.List {
		switch a := &l.List[i]; a.ID {
		case mine:
			if wrong := l.Wrong(a); len(wrong) > 0 || !l.Counts(a) {
				t.Errorf("%v", wrong)
			}
		case again:
			if wrong := l.Wrong(a); len(wrong) != 1 || wrong[0].Code != gp.AttestationChain {
				t.Errorf("%v", wrong)
			}
		}
	}

	// What somebody accountable saw while she might stays when that is revoked; what comes later is none.
	may := grant(gp.AttestAction)
	as("seen")
	w.note("alice looks")
	if _, err := w.sealer().Revoke(context.Background(), capability.Revocation{Grant: may, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	as("later")
	if got := w.found(); strings.Contains(got["seen"], "authority") || got["later"] != "authority" {
		t.Errorf("%v", got)
	}
}
