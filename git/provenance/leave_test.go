package provenance_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// rotate returns the change that gives alice another key.
func (w *world) rotate(name string) (func(*trust.Root) error, identity.Signer) {
	w.t.Helper()
	s, err := identity.Generate(filepath.Join(w.home, "keys", name), "alice", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return func(r *trust.Root) error {
		return errors.Join(r.Add("alice", "", nil, s.Public()), r.Remove("alice", trust.Leaving{Grants: trust.Stand}, w.keys["alice"].Public().ID()))
	}, s
}

func (w *world) grantTo(name string) capability.Grant {
	return capability.Grant{Action: "memory.read", Scope: capability.Whole, Subject: capability.Subject{
		Emails: []string{"alice@example.org"}, Key: w.keys[name].Public().String(), Kind: "agent", Name: name,
	}}
}

// TestRotateSeesWhatStands: what a key signed while its removal waited for its turn stands, as the removal says.
func TestRotateSeesWhatStands(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.introduce("coder")
	ctx := context.Background()
	s := w.session()
	k := w.sealer(s, "alice")
	k.Locked = true
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	change, fresh := w.rotate("alice-2")
	done := make(chan error, 1)
	other := w.session()
	root := w.rootOf(other)
	next, err := root.Current().Next(envelope.Timestamp(w.now()))
	if err == nil {
		err = change(next)
	}
	if err != nil {
		t.Fatal(err)
	}
	at := w.now()
	go func() {
		_, err := provenance.Propose(ctx, other, root, next, at, w.keys["alice"], fresh)
		done <- err
	}()
	id, err := k.Grant(ctx, w.grantTo("coder"))
	unlock()
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	f, err := provenance.Load(ctx, w.session(), w.pin)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Authority.Grant(id); !ok || len(f.Authority.Refused) > 0 {
		t.Errorf("the grant counts for nothing: %v", f.Authority.Refused)
	}
}

// TestRemovedKeyWritesNothing: a key that was removed after it was chosen is refused before anything is written.
func TestRemovedKeyWritesNothing(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.introduce("coder")
	k, agent := w.sealer(w.session(), "alice"), w.sealer(w.session(), "coder")
	change, fresh := w.rotate("alice-2")
	w.keys["fresh"] = fresh
	w.adopted(change, "alice", "fresh")
	ledgers := w.git("for-each-ref", "refs/covenant/ledger")
	if _, err := k.Grant(context.Background(), w.grantTo("coder")); !errors.Is(err, provenance.ErrKeyRemoved) {
		t.Errorf("granted with a removed key: %v", err)
	}
	if now := w.git("for-each-ref", "refs/covenant/ledger"); now != ledgers {
		t.Errorf("a ledger moved:\n%s\n%s", ledgers, now)
	}
	if _, err := agent.Wish(context.Background(), capability.Asked{Action: "memory.read", Scope: capability.Whole, Reason: "to know"}); err != nil {
		t.Errorf("an agent, whose key stands: %v", err)
	}
}

// TestRotateAndGrants: of the grants of many processes beside a rotation each counts, or was refused to who gave it.
func TestRotateAndGrants(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.introduce("coder")
	ctx := context.Background()
	at := w.now()
	var sealers []*provenance.Sealer
	for range 4 {
		k := w.sealer(w.session(), "alice")
		k.Now = func() time.Time { return at }
		sealers = append(sealers, k)
	}
	change, fresh := w.rotate("alice-2")
	s := w.session()
	root := w.rootOf(s)
	next, err := root.Current().Next(envelope.Timestamp(at))
	if err == nil {
		err = change(next)
	}
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var given []envelope.Digest
	var wg sync.WaitGroup
	for _, k := range sealers {
		wg.Go(func() {
			for range 5 {
				id, err := k.Grant(ctx, w.grantTo("coder"))
				if errors.Is(err, provenance.ErrKeyRemoved) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				given = append(given, id)
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		if _, err := provenance.Propose(ctx, s, root, next, at, w.keys["alice"], fresh); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	f, err := provenance.Load(ctx, w.session(), w.pin)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range given {
		if _, ok := f.Authority.Grant(id); !ok {
			t.Errorf("grant %s was acknowledged, and counts for nothing", id.Short())
		}
	}
	if len(f.Authority.Refused) > 0 {
		t.Errorf("refused: %v", f.Authority.Refused)
	}
}

// TestLedgersHoldStill: a version that says how far ledgers reach is put only while they reach so far; who moves them without
// our lock, as git fetch does, makes it look again.
func TestLedgersHoldStill(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.introduce("coder")
	s := w.session()
	refs, err := s.Refs("refs/covenant/ledger", provenance.RootRef)
	if err != nil || len(refs) != 2 {
		t.Fatalf("%v, %v", refs, err)
	}
	moved := git.RefUpdate{Name: "refs/covenant/x", New: refs[0].ID}
	stale := git.RefUpdate{Name: refs[0].Name, New: refs[1].ID, Old: refs[1].ID}
	var conflict *git.ConflictError
	if err := s.Update("test", stale, moved); !errors.As(err, &conflict) || fmt.Sprint(conflict.Refs) != "["+refs[0].Name+"]" {
		t.Errorf("moved beside a ref that is elsewhere: %v", err)
	}
	if out := w.git("for-each-ref", "refs/covenant/x"); out != "" {
		t.Errorf("moved: %s", out)
	}
	if err := s.Update("test", git.RefUpdate{Name: refs[0].Name, New: refs[0].ID, Old: refs[0].ID}, moved); err != nil {
		t.Error(err)
	}
	if out := w.git("for-each-ref", "--format=%(objectname)", refs[0].Name); out != refs[0].ID.String() {
		t.Errorf("the ref that was to hold still is at %s", out)
	}
}

// TestLate: what a removed key signed beyond what was known of it is told until it is done again.
func TestLate(t *testing.T) {
	w := newWorld(t, "sha1")
	w.made("before")
	w.found()
	w.introduce("coder")
	late := func() []provenance.Late {
		t.Helper()
		s := w.session()
		f, err := provenance.Load(context.Background(), s, w.pin)
		if err != nil {
			t.Fatal(err)
		}
		list, err := f.Late(s)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	change, fresh := w.rotate("alice-2")
	w.keys["fresh"] = fresh
	old := w.git("rev-parse", provenance.RootRef)
	w.adopted(change, "alice", "fresh")
	if list := late(); len(list) > 0 {
		t.Errorf("late, and nothing was: %+v", list)
	}
	rotated := w.git("rev-parse", provenance.RootRef)
	w.git("update-ref", provenance.RootRef, old) // as another clone still has it
	w.made("late")
	w.seal("alice", "vouch", "HEAD")
	w.introduce("helper")
	w.git("update-ref", provenance.RootRef, rotated)
	list := late()
	commits, grants := 0, 0
	for _, l := range list {
		commits, grants = commits+len(l.Commits), grants+len(l.Grants)
		if f := l.Finding(); f.Code != provenance.LedgerLate || f.Hint == "" || l.Name != "alice" {
			t.Errorf("%+v", f)
		}
	}
	if commits != 1 || grants != 1 {
		t.Fatalf("%d commits, %d grants: %+v", commits, grants, list)
	}
	w.keys["alice"] = fresh
	w.seal("alice", "vouch", "HEAD")
	w.introduce("helper")
	for _, l := range late() {
		if l.Left() {
			t.Errorf("it was done again: %+v", l)
		}
	}
}
