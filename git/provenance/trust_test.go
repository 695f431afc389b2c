package provenance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// rootOf opens the root as pinned.
func (w *world) rootOf(s *git.Session) *provenance.Root {
	w.t.Helper()
	r, err := provenance.OpenRoot(s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// propose changes the root, signed by these.
func (w *world) propose(change func(*trust.Root) error, by ...string) (*provenance.Outcome, error) {
	w.t.Helper()
	s := w.session()
	r := w.rootOf(s)
	next, err := r.Current().Next(envelope.Timestamp(w.now()))
	if err == nil && change != nil {
		err = change(next)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return provenance.Propose(context.Background(), s, r, next, w.now(), w.signers(by...)...)
}

func (w *world) signers(names ...string) []identity.Signer {
	var out []identity.Signer
	for _, n := range names {
		out = append(out, w.keys[n])
	}
	return out
}

func (w *world) adopted(change func(*trust.Root) error, by ...string) *provenance.Root {
	w.t.Helper()
	o, err := w.propose(change, by...)
	if err != nil || !o.Adopted {
		w.t.Fatalf("not adopted: %+v, %v", o, err)
	}
	return o.Root
}

func (w *world) second(threshold int) func(*trust.Root) error {
	return func(r *trust.Root) error {
		r.Threshold = threshold
		return errors.Join(r.Add("helper", "", nil, w.keys["helper"].Public()), r.Promote("helper"))
	}
}

// TestRootFromEveryPin: the same version is in force whichever version is pinned, and the repository keeps its name.
func TestRootFromEveryPin(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	first := w.pin
	pins := []envelope.Digest{first}
	for range 4 {
		pins = append(pins, w.adopted(nil, "alice").Digest)
	}
	last := pins[len(pins)-1]
	for i, pin := range pins {
		s := w.session()
		r, err := provenance.OpenRoot(s, pin)
		if err != nil {
			t.Fatalf("pinned %d: %v", i+1, err)
		}
		if r.ID != first || r.Digest != last || r.Version != 5 || len(r.Versions) != len(pins)-i || r.Pin() != pin {
			t.Errorf("pinned %d: version %d of %s, %d verified", i+1, r.Version, r.ID.Short(), len(r.Versions))
		}
		if n := s.Children(); n != 2 { // git config, cat-file
			t.Errorf("pinned %d: %d children", i+1, n)
		}
		h, err := provenance.OpenHistory(s, pin)
		if err != nil || len(h.Versions) != len(pins) || h.Digest != last {
			t.Errorf("history pinned at %d: %v", i+1, err)
		}
	}
	w.git("update-ref", provenance.RootRef, provenance.RootRef+"~2")
	if _, err := provenance.OpenRoot(w.session(), pins[3]); !errors.Is(err, provenance.ErrRootMismatch) {
		t.Errorf("rolled back behind the pin: %v", err)
	}
	if r, err := provenance.OpenRoot(w.session(), pins[1]); err != nil || r.Version != 3 {
		t.Errorf("rolled back, and the pin does not know: %v", err)
	}
}

// TestDrafts: signatures for one payload come from two clones at the same time and meet.
func TestDrafts(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.adopted(w.second(2), "alice", "helper")
	staged, err := w.propose(func(r *trust.Root) error {
		r.Threshold = 3
		return errors.Join(r.Add("coder", "", nil, w.keys["coder"].Public()), r.Promote("coder"))
	}, "alice")
	if err != nil || staged.Adopted || staged.Ref != provenance.StagedPrefix+"3" {
		t.Fatalf("%+v, %v", staged, err)
	}
	if got := staged.Draft.Missing(); !slices.Equal(got, []string{"coder", "helper"}) {
		t.Errorf("missing %v", got)
	}
	if w.rootOf(w.session()).Version != 2 {
		t.Error("a draft is in force")
	}
	again, err := w.propose(nil, "alice") // another payload of the same number
	var in *provenance.StagedError
	if !errors.As(err, &in) || in.Staged.ID != staged.Draft.ID {
		t.Errorf("two drafts at one ref: %+v, %v", again, err)
	}
	// Two other clones sign what they fetched.
	theirs := func(name string) *world {
		c := *w
		c.dir = w.dir + "-" + name
		w.git("clone", "-q", w.dir, c.dir)
		c.git("fetch", "-q", "origin", "refs/covenant/*:refs/covenant/*")
		s := c.session()
		list, err := provenance.Drafts(s, c.rootOf(s))
		if err != nil || len(list) != 1 || list[0].Err != nil {
			t.Fatalf("%s: %+v, %v", name, list, err)
		}
		o, err := provenance.Countersign(context.Background(), s, c.rootOf(s), list[0], c.now(), c.keys[name])
		if err != nil || o.Adopted {
			t.Fatalf("%s: %+v, %v", name, o, err)
		}
		return &c
	}
	helper, coder := theirs("helper"), theirs("coder")
	coder.git("push", "-q", "origin", provenance.StagedPrefix+"3") // a fast-forward
	helper.git("fetch", "-q", "origin", "refs/covenant/*:"+provenance.RemotePrefix+"origin/*")
	s := helper.session()
	list, err := provenance.Drafts(s, helper.rootOf(s))
	if err != nil || len(list) != 1 || len(list[0].Refs) != 2 || !list[0].Draft.Complete() {
		t.Fatalf("%+v, %v", list, err)
	}
	o, err := provenance.Countersign(context.Background(), s, helper.rootOf(s), list[0], helper.now())
	if err != nil || !o.Adopted || o.Root.Version != 3 || !slices.Equal(o.Root.Current().Signers, []string{"alice", "coder", "helper"}) {
		t.Fatalf("%+v, %v", o, err)
	}
	if left := helper.git("for-each-ref", provenance.StagedPrefix); left != "" {
		t.Errorf("staged refs are left: %s", left)
	}
	helper.git("push", "-q", "origin", provenance.RootRef) // a fast-forward too
	if r := w.rootOf(w.session()); r.Version != 3 || r.ID != w.pin {
		t.Errorf("version %d of %s", r.Version, r.ID)
	}
	// What was staged is behind now, and out of the way.
	s = w.session()
	if list, err := provenance.Drafts(s, w.rootOf(s)); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestStagedJunk: what anybody may push to a staged ref is told and signed by nobody.
func TestStagedJunk(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.git("update-ref", provenance.StagedPrefix+"2", "HEAD")
	w.git("update-ref", provenance.StagedPrefix+"02", "HEAD")
	w.git("update-ref", provenance.StagedPrefix+"3", provenance.RootRef)
	s := w.session()
	list, err := provenance.Drafts(s, w.rootOf(s))
	if err != nil || len(list) != 2 || list[0].Err == nil || list[1].Err == nil {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := provenance.Countersign(context.Background(), s, w.rootOf(s), list[1], w.now(), w.keys["alice"]); err == nil {
		t.Error("junk was signed")
	}
	// It does not stop the operators either: what is complete comes into force.
	w.adopted(nil, "alice")
}

// TestRivals: two valid successors stop changes until one is pinned.
func TestRivals(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.adopted(w.second(1), "alice", "helper")
	two := w.git("rev-parse", provenance.RootRef)
	a := w.adopted(func(r *trust.Root) error { r.Expires = "2030-01-01T00:00:00Z"; return nil }, "alice")
	w.git("update-ref", provenance.RemotePrefix+"fork/trust/root", provenance.RootRef)
	w.git("update-ref", provenance.RootRef, two)
	b := w.adopted(nil, "helper")
	s := w.session()
	var fork *trust.ForkError
	err := provenance.Rivals(s, w.rootOf(s))
	if !errors.As(err, &fork) || fork.A.ID != b.Digest || fork.B.ID != a.Digest || !slices.Equal(fork.A.Signers, []string{"helper"}) {
		t.Fatalf("%v", err)
	}
	if _, err := w.propose(nil, "alice"); !errors.Is(err, trust.ErrFork) {
		t.Errorf("a change on one side of a fork: %v", err)
	}
	w.pin = b.Digest // which comes by itself, and decides nothing
	if err := provenance.Rivals(s, w.rootOf(s)); !errors.Is(err, trust.ErrFork) {
		t.Errorf("pinned behind the fork: %v", err)
	}
	against, err := provenance.Against(s, w.rootOf(s), b.Digest)
	if err != nil || !slices.Equal(against, []envelope.Digest{a.Digest}) {
		t.Fatalf("against %v, %v", against, err)
	}
	w.git("config", provenance.RejectedKey, string(a.Digest))
	s = w.session()
	if err := provenance.Rivals(s, w.rootOf(s)); err != nil {
		t.Errorf("decided: %v", err)
	}
	w.adopted(nil, "alice")
}

func TestReroot(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	old := w.rootOf(w.session())
	w.write("f", "1\n")
	w.git("add", ".")
	w.made("governed")
	w.seal("alice", "witness", "HEAD")
	s := w.session()
	r, err := provenance.Reroot(context.Background(), s, old, provenance.Founder{Name: "helper", Emails: []string{"alice@example.org"}, Signer: w.keys["helper"]}, w.now())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Replaces(old.ID) || r.Succeeds[0].Head != old.Digest || r.ID == old.ID || r.Version != 1 {
		t.Errorf("%+v", r.Root)
	}
	if _, err := provenance.OpenRoot(w.session(), w.pin); !errors.Is(err, provenance.ErrRootMismatch) {
		t.Errorf("the old pin: %v", err)
	}
	kept, err := provenance.OpenRootAt(w.session(), provenance.FormerPrefix+old.ID.Short(), w.pin)
	if err != nil || kept.ID != old.ID {
		t.Errorf("the old chain: %v", err)
	}
	w.pin = r.ID
	res, _, err := w.verify(false, "main")
	if err != nil {
		t.Fatal(err)
	}
	for id, v := range res {
		if v.Verdict != "before" {
			t.Errorf("%s is %s", id.Short(), codes(v))
		}
	}
	w.write("f", "2\n")
	w.git("add", ".")
	w.made("under the new root")
	w.seal("helper", "witness", "HEAD")
	if res, _, err = w.verify(true, "main^..main"); err != nil || res[w.commit["under the new root"]].Verdict != "sealed" {
		t.Errorf("%v %v", res, err)
	}
	again, err := provenance.Reroot(context.Background(), w.session(), w.rootOf(w.session()), provenance.Founder{Name: "coder", Signer: w.keys["coder"]}, w.now())
	if err != nil || !again.Replaces(old.ID) || !again.Replaces(r.ID) || len(again.Succeeds) != 2 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestExpiryFinding(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	if f, ok := provenance.ExpiryFinding(w.rootOf(w.session()), w.clock); ok {
		t.Errorf("without expiry: %+v", f)
	}
	r := w.adopted(func(r *trust.Root) error { r.Expires = "2027-01-01T00:00:00Z"; return nil }, "alice")
	at, _ := r.Expiry()
	for _, c := range []struct {
		before time.Duration
		want   string
	}{{provenance.ExpiryWarning + time.Second, ""}, {provenance.ExpiryWarning, "root.expires-soon"}, {time.Second, "root.expires-soon"}, {0, "root.expired"}} {
		f, ok := provenance.ExpiryFinding(r, at.Add(-c.before))
		if string(f.Code) != c.want || ok != (c.want != "") {
			t.Errorf("%v before: %+v", c.before, f)
		}
	}
	// The time of a version is no floor: its operators may still sign the next one.
	w.clock = at.Add(time.Hour)
	w.adopted(func(r *trust.Root) error { r.Expires = "2028-01-01T00:00:00Z"; return nil }, "alice")
}

// TestRootRace: of two processes that sign at once, both succeed or one is told why.
func TestRootRace(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	s, other := w.session(), w.session()
	r := w.rootOf(s)
	next, err := r.Current().Next(envelope.Timestamp(w.now()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provenance.Propose(context.Background(), other, r, next, w.now(), w.keys["alice"]); err != nil {
		t.Fatal(err)
	}
	if _, err := provenance.Propose(context.Background(), s, r, next, w.now(), w.keys["alice"]); !errors.Is(err, provenance.ErrRootMoved) || !strings.Contains(err.Error(), "sha256:") {
		t.Errorf("on a version that is not in force any more: %v", err)
	}
}
