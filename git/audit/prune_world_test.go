package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/provenance"
)

var ctx = context.Background()

// agent introduces an agent, and gives it one more action.

func (w *world) agent(name, action, scope string) identity.Signer {
	w.t.Helper()
	key, err := identity.Generate(filepath.Join(w.t.TempDir(), name), name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.grant(name, key, capability.Commit, `{"version":1}`)
	if action != "" {
		w.grant(name, key, action, scope)
	}
	return key
}

func (w *world) grant(name string, key identity.Signer, action, scope string) envelope.Digest {
	w.t.Helper()
	s, err := capability.ParseScope(json.RawMessage(scope))
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := w.sealer().Grant(ctx, capability.Grant{
		Action: action, Scope: s, Subject: capability.Subject{Emails: []string{name + "@example.org"}, Key: key.Public().String(), Kind: "agent", Name: name},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// as is a sealer for somebody.

func (w *world) as(name string, key identity.Signer) *provenance.Sealer {
	w.t.Helper()
	k := w.sealer()
	p, ok := k.Authority.ByName(name)
	if !ok {
		w.t.Fatalf("no %s", name)
	}
	k.Hand = provenance.Hand{Principal: p, Signer: key}
	return k
}

func calls(n int) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		out[i] = event.Event{Kind: "tool_call_completed", Data: map[string]any{"tool": "grep"}, Outcome: event.OK}
	}
	return out
}

func denial() event.Event {
	return event.Event{Kind: "secret_access_denied", Data: map[string]any{"secret": "s", "reason": "not yours"}}
}

// record has somebody record events, and alice see them.

func (w *world) record(k *provenance.Sealer, list ...event.Event) ledger.Name {
	w.t.Helper()
	places, err := audit.Append(ctx, k, false, list...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.checkpoint()
	n, _ := ledger.ParseRef(ledger.Prefix + places[0].Ledger)
	return n
}

func (w *world) plan(n ledger.Name, before time.Time) *provenance.Plan {
	w.t.Helper()
	s := w.session()
	f, err := provenance.Load(ctx, s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := f.PlanPruning(s, n.String(), before)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// forget drops what is to be dropped.

func (w *world) forget() error {
	w.t.Helper()
	s := w.session()
	f, err := provenance.Load(ctx, s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	list := f.Pending()
	if len(list) == 0 {
		return errors.New("nothing is to be dropped")
	}
	for _, p := range list {
		if err := f.Forget(ctx, s, p); err != nil {
			return err
		}
	}
	return nil
}

// prune has somebody prune a ledger, here.

func (w *world) prune(k *provenance.Sealer, n ledger.Name) *provenance.Plan {
	w.t.Helper()
	p := w.plan(n, w.now())
	if _, err := k.Prune(ctx, w.facts(), "kept long enough", p); err != nil {
		w.t.Fatal(err)
	}
	if err := w.forget(); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// force does to a ledger what a pruning says, whoever may say it.

func (w *world) force(n ledger.Name, says event.Pruning) {
	w.t.Helper()
	s := w.session()
	tips, err := s.Tips(n.Ref())
	if err != nil {
		w.t.Fatal(err)
	}
	slots, err := ledger.Chain(s, tips[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range says.Ranges {
		for seq := r[0]; seq <= r[1]; seq++ {
			e, _, err := ledger.Read(s, slots[seq-1].Commit)
			if err != nil {
				w.t.Fatal(err)
			}
			slots[seq-1].Dropped = e.ID()
		}
	}
	tip, err := ledger.Prune(s, n, slots)
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.git("update-ref", n.Ref(), tip.String())
}

// state signs a pruning as it stands.

func (w *world) state(k *provenance.Sealer, says event.Pruning) envelope.Digest {
	w.t.Helper()
	made, err := k.Record(ctx, provenance.CapabilityTopic, provenance.Item{Type: event.Pruned, Body: says, Subject: "x"})
	if err != nil {
		w.t.Fatal(err)
	}
	return made[0].ID
}

// What an agent's calls said is dropped and is gone, and all that others had of it still holds.

// What a statement must not say, or must not be obeyed in.

// Nobody prunes what is no ledger of events, whoever it is.

// A time that a writer claims makes nothing old: an entry is as old as somebody else knows.

// Who was allowed when somebody accountable saw it has pruned for good; who is revoked before that has not.

// Whoever says different things of one ledger leaves a ledger that holds: nothing that is gone is asked for, and the next pruning drops what either did.

// What a writer appends while somebody prunes stays.

// What keys of the trust root said is evidence of what others did, and nobody else drops it; nor does anybody what it said itself.

// A few commits that stand for very much are not believed.
