package provenance_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// forks returns the ledgers that went two ways.
func (w *world) forks() []provenance.Fork {
	w.t.Helper()
	f, err := provenance.Load(context.Background(), w.session(), w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	return f.Forks()
}

// forked has coder sign two entries of one number.
func (w *world) forked() provenance.Fork {
	w.t.Helper()
	w.introduce("coder")
	say := func(text string) {
		if _, err := w.sealer(w.session(), "coder").Record(context.Background(), provenance.AuditTopic, provenance.Item{
			Type: event.Recorded, Body: event.Recording{Events: []event.Event{{Kind: "note", Data: map[string]any{"text": text}}}}, Subject: text,
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	say("one")
	ref := w.ledgers(provenance.AuditTopic, "coder")[0]
	was := w.git("rev-parse", ref)
	say("one way")
	ours := w.git("rev-parse", ref)
	w.git("update-ref", ref, was)
	if err := os.RemoveAll(filepath.Join(w.dir, ".git/covenant/seen")); err != nil { // as in a copy that was set back
		w.t.Fatal(err)
	}
	say("the other")
	name, _ := ledger.ParseRef(ref)
	w.git("update-ref", provenance.ForkPrefix+name.String()+"-0123456789ab", w.git("rev-parse", ref))
	w.git("update-ref", ref, ours)
	list := w.forks()
	if len(list) != 1 || list[0].Decided {
		w.t.Fatalf("%+v", list)
	}
	return list[0]
}

// says records which way a fork goes without asking whether its signer may.
func (w *world) says(who string, x provenance.Fork, keep, drop envelope.Digest) {
	w.t.Helper()
	if _, err := w.sealer(w.session(), who).Record(context.Background(), provenance.CapabilityTopic, provenance.Item{
		Type: event.Resolved, Body: event.Resolution{Ledger: x.Ledger.String(), Seq: x.Seq, Keep: keep, Drop: drop}, Subject: "ledger.resolved",
	}); err != nil {
		w.t.Fatal(err)
	}
}

// Which way a ledger went is for operators of the trust root in force, each in a ledger of their own.
func TestWhoResolves(t *testing.T) {
	for name, c := range map[string]struct {
		say    func(w *world, x provenance.Fork)
		counts bool
	}{
		"an operator":   {func(w *world, x provenance.Fork) { w.says("ben", x, x.Here, x.There) }, true},
		"who forked it": {func(w *world, x provenance.Fork) { w.says("coder", x, x.Here, x.There) }, false},
		"operators who disagree": {func(w *world, x provenance.Fork) {
			w.says("ben", x, x.Here, x.There)
			w.says("alice", x, x.There, x.Here)
		}, false},
		"an operator of another number": {func(w *world, x provenance.Fork) {
			x.Seq++
			w.says("ben", x, x.Here, x.There)
		}, false},
		"an operator who was removed since": {func(w *world, x provenance.Fork) {
			w.says("ben", x, x.Here, x.There)
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
		}, false},
		"the key of an operator who was removed before": {func(w *world, x provenance.Fork) {
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Stand}) }, "alice")
			w.says("ben", x, x.Here, x.There)
		}, false},
		"an operator who is a member now": {func(w *world, x provenance.Fork) {
			w.says("ben", x, x.Here, x.There)
			w.adopted(func(r *trust.Root) error { return r.SetOperators([]string{"alice"}) }, "alice")
		}, false},
		"an operator, copied into a ledger of nobody's": {func(w *world, x provenance.Fork) {
			w.says("ben", x, x.Here, x.There)
			ref := w.ledgers(provenance.CapabilityTopic, "ben")[0]
			w.git("update-ref", "refs/covenant/ledger/capability/ffffffffffffffff-00000001", w.git("rev-parse", ref))
			w.git("update-ref", "-d", ref)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := court(t)
			c.say(w, w.forked())
			if n := len(w.forks()); (n == 0) != c.counts {
				t.Errorf("%d forks are open", n)
			}
		})
	}
}
