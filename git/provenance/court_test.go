package provenance_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// court is a world with operators alice and ben, agents coder and helper without a grant, and a protected main branch.
func court(t *testing.T) *world {
	w := young(t)
	w.adopted(func(r *trust.Root) error { return r.Promote("ben") }, "alice")
	return w
}

// ledgers returns the refs of somebody's ledgers of a topic.
func (w *world) ledgers(topic, who string) []string {
	return strings.Fields(w.git("for-each-ref", "--format=%(refname)", "refs/covenant/ledger/"+topic+"/"+ledger.KeyDigits(w.keys[who].Public().Digest())+"*"))
}

// rewrap puts other commits in the place of a ledger's, with the same parents as before: tree says what each holds, given its
// subject and its tree.
func (w *world) rewrap(ref string, tree func(n int, subject, tree string) string) {
	w.t.Helper()
	parent := ""
	for n, id := range strings.Fields(w.git("rev-list", "--reverse", ref)) {
		subject := w.git("log", "-1", "--format=%s", id)
		args := []string{"commit-tree", tree(n, subject, w.git("rev-parse", id+"^{tree}")), "-m", subject}
		if parent != "" {
			args = append(args, "-p", parent)
		}
		parent = w.git(args...)
	}
	w.git("update-ref", ref, parent)
}

func (w *world) emptyTree() string { return w.gitIn("", "mktree") }

// under does something while the trust root is an older one, as in a clone that has not heard, and at another time.
func (w *world) under(root string, at time.Time, do func()) {
	w.t.Helper()
	now, clock := w.git("rev-parse", provenance.RootRef), w.clock
	w.git("update-ref", provenance.RootRef, root)
	w.clock = at
	do()
	w.git("update-ref", provenance.RootRef, now)
	w.clock = clock
}

// passes reports whether main, and the last commit as a range under review, verify.
func (w *world) passes() (whole, last bool, why string) {
	w.t.Helper()
	s := w.session()
	defer func() { _ = s.Close() }()
	look := func(args ...string) bool {
		res, problems, err := w.verify(false, args...)
		if err != nil {
			why += " " + err.Error()
			return false
		}
		ok := true
		for _, r := range res {
			if !r.Verdict.OK() {
				ok = false
				why += " " + codes(r)
			}
		}
		for _, p := range problems {
			if p.Code.Condemns() {
				ok = false
				why += " " + string(p.Code)
			}
		}
		return ok
	}
	whole = look("main")
	span, err := provenance.ParseSpan(s, "main")
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := provenance.LoadRefs(context.Background(), s, w.pin, []provenance.Head{{Ref: "refs/heads/main", Here: "refs/heads/main", ID: span.Tips[0], Commit: span.Tips[0]}})
	if err != nil {
		w.t.Fatal(err)
	}
	if st := f.RefState(provenance.Head{Ref: "refs/heads/main", ID: span.Tips[0], Commit: span.Tips[0]}, w.clock, nil); !st.OK() {
		whole = false
		for _, x := range st.Findings {
			why += " " + string(x.Code)
		}
	}
	return whole, look("HEAD~1..main"), why
}

// admitted has somebody admit that main is at HEAD, held to the root in force.
func (w *world) admitted(who string, old oid.ID) {
	w.t.Helper()
	s := w.session()
	k := w.sealer(s, who)
	if _, err := k.Record(context.Background(), prov.Topic, provenance.Item{
		Type: prov.Admitted, Body: prov.Admission{Ref: "refs/heads/main", Old: old, New: w.oid("HEAD"), Root: k.Root.Digest, Tips: k.Root.Digest}, Subject: "ref.admitted",
	}); err != nil {
		w.t.Fatal(err)
	}
}

// evil is what no attack may have accepted: a commit by coder.
func (w *world) evil() oid.ID { w.t.Helper(); return w.sealedChange("coder", "evil") }

// restore sets refs as for-each-ref listed them.
func (w *world) restore(list string) {
	for line := range strings.Lines(list) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		w.git("update-ref", ref, id)
	}
}

// drop deletes the refs below a prefix.
func (w *world) drop(prefix string) {
	w.t.Helper()
	for ref := range strings.FieldsSeq(w.git("for-each-ref", "--format=%(refname)", prefix)) {
		w.git("update-ref", "-d", ref)
	}
}

// key makes another key.
func (w *world) key(name string) identity.Signer {
	w.t.Helper()
	s, err := identity.Generate(filepath.Join(w.home, "keys", name), name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys[name] = s
	return s
}

// renewed does something as another clone would: in ledgers of its own.
func (w *world) renewed(do func()) {
	w.t.Helper()
	r := w.session().Repo()
	if err := provenance.RenewReplica(r); err != nil {
		w.t.Fatal(err)
	}
	do()
	if err := provenance.RenewReplica(r); err != nil {
		w.t.Fatal(err)
	}
}

// adoptedAndSaid is adopted, and says so in a ledger, as the commands do.
func (w *world) adoptedAndSaid(change func(*trust.Root) error, by string) {
	w.t.Helper()
	r := w.adopted(change, by)
	if _, err := w.sealer(w.session(), by).Record(context.Background(), "audit", provenance.Item{
		Type: trust.Adopted, Body: trust.Adoption{Digest: r.Digest, Version: r.Version}, Subject: "root.adopted",
	}); err != nil {
		w.t.Fatal(err)
	}
}

// forged returns the tree of an entry that says to be number n+1 of a ledger, signed by who does not write it.
func (w *world) forged(who, ref string, n int) string {
	w.t.Helper()
	s := w.session()
	f, err := provenance.Load(context.Background(), s, w.pin)
	if err != nil {
		w.t.Fatal(err)
	}
	name := strings.TrimPrefix(ref, "refs/covenant/ledger/")
	e := f.Chains[name].Entries
	payload, err := envelope.Statement("note.said/v1", e[n].Header, map[string]any{})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.entryTree(who, payload)
}

// entryTree returns the tree of a ledger entry that somebody signs, whatever it says.
func (w *world) entryTree(who string, payload []byte) string {
	w.t.Helper()
	signed, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: w.keys[who].Public().ID(), Signer: w.keys[who]})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := signed.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	blob := w.gitIn(string(b)+"\n", "hash-object", "-w", "--stdin")
	return w.gitIn("100644 blob "+blob+"\tenvelope.json\n", "mktree")
}

// ended is a world in which coder made something after ben had ended its grant, and did not know.
func (w *world) ended() {
	w.t.Helper()
	id := w.grant("alice", "coder", nil)
	bare := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
	w.revoke("ben", id)
	after := w.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/covenant/ledger/capability")
	w.drop("refs/covenant/ledger/capability")
	w.restore(bare)
	w.evil()
	w.restore(after)
	w.clock = w.clock.Add(time.Hour)
}
