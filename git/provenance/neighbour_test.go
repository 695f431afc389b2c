package provenance_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// plant appends an entry that says what it likes to a ledger, signed with who's key.
func (w *world) plant(name ledger.Name, who string, change func(*envelope.Header)) oid.ID {
	w.t.Helper()
	s := w.session()
	key := w.keys[who]
	h := envelope.Header{Repository: w.pin, Seq: 1, Time: envelope.Timestamp(w.now()), Topic: name.Topic, Writer: string(name.Writer)}
	change(&h)
	payload, err := envelope.Statement("note.said/v1", h, map[string]any{})
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := envelope.Seal(envelope.TypeLedger, payload, envelope.SealWith{KeyID: key.Public().ID(), Signer: key})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := ledger.Blob(e)
	if err != nil {
		w.t.Fatal(err)
	}
	tree, err := git.EncodeTree([]git.TreeEntry{{Mode: 0o100644, Name: ledger.File, ID: s.Put("blob", b)}})
	if err != nil {
		w.t.Fatal(err)
	}
	refs, err := s.Refs(name.Ref())
	if err != nil {
		w.t.Fatal(err)
	}
	var parents []oid.ID
	var old oid.ID
	if len(refs) == 1 {
		old = refs[0].ID
		parents = []oid.ID{old}
	}
	ident := git.Ident{Name: who, Email: who, When: w.now()}
	commit := s.Put("commit", git.EncodeCommit(s.Put("tree", tree), parents, ident, ident, "planted\n"))
	if err := s.Flush(); err != nil {
		w.t.Fatal(err)
	}
	if err := s.Update("plant", git.RefUpdate{Name: name.Ref(), New: commit, Old: old}); err != nil {
		w.t.Fatal(err)
	}
	return commit
}

func (w *world) name(who string, replica uint32) ledger.Name {
	var id [4]byte
	id[0], id[1], id[2], id[3] = byte(replica>>24), byte(replica>>16), byte(replica>>8), byte(replica)
	return ledger.Name{Topic: prov.Topic, Writer: ledger.NewWriter(w.keys[who].Public().Digest(), id)}
}

func (w *world) newest(subject, who string) verdict.Result {
	w.t.Helper()
	w.write("n.txt", subject)
	w.git("add", ".")
	id := w.made(subject)
	w.seal(who, prov.Witness, "HEAD")
	res, _, err := w.verify(true, "HEAD")
	if err != nil {
		w.t.Fatal(err)
	}
	return res[id]
}

// TestNeighbours: what one writer does to a ledger, its own or another's, spoils
// nobody else's seals.
func TestNeighbours(t *testing.T) {
	t.Run("an entry that was never reached", func(t *testing.T) {
		w := newWorld(t, "sha1")
		w.build()
		w.plant(w.name("coder", 7), "coder", func(h *envelope.Header) {
			h.Seq, h.Prev = 5, envelope.Digest("sha256:"+strings.Repeat("5", 64))
		})
		if r := w.newest("after", "alice"); r.Verdict != verdict.Sealed {
			t.Errorf("%s: %+v", r.Verdict, r.Findings)
		}
	})
	t.Run("a thousand ledgers", func(t *testing.T) {
		w := newWorld(t, "sha1")
		w.build()
		first := w.plant(w.name("coder", 1000), "coder", func(*envelope.Header) {})
		var in strings.Builder
		for i := range 1000 { // the same entry under a thousand names: nothing to follow, much to look at
			fmt.Fprintf(&in, "create %s %s\n", w.name("coder", uint32(2000+i)).Ref(), first)
		}
		w.gitIn(in.String(), "update-ref", "--stdin")
		if r := w.newest("after", "alice"); r.Verdict != verdict.Sealed {
			t.Errorf("%s: %+v", r.Verdict, r.Findings)
		}
	})
	t.Run("an entry on another's ledger", func(t *testing.T) {
		w := newWorld(t, "sha1")
		w.build()
		for _, ref := range strings.Fields(w.git("for-each-ref", "--format=%(refname)", "refs/covenant/ledger/provenance")) {
			n, ok := ledger.ParseRef(ref)
			if !ok || !n.Writer.OfKey(w.keys["alice"].Public().Digest()) {
				continue
			}
			w.plant(n, "coder", func(h *envelope.Header) { h.Seq, h.Prev = 2, envelope.Digest("sha256:"+strings.Repeat("5", 64)) })
		}
		if r := w.newest("after", "alice"); r.Verdict != verdict.Sealed {
			t.Errorf("%s: %+v", r.Verdict, r.Findings)
		}
	})
	t.Run("one's own ledger taken back, and gone", func(t *testing.T) {
		w := newWorld(t, "sha1")
		w.build()
		ref := ""
		for _, r := range strings.Fields(w.git("for-each-ref", "--format=%(refname)", "refs/covenant/ledger/provenance")) {
			if n, ok := ledger.ParseRef(r); ok && n.Writer.OfKey(w.keys["alice"].Public().Digest()) {
				ref = r
			}
		}
		was := w.git("rev-parse", ref)
		w.git("update-ref", ref, was+"~2")
		if r := w.newest("taken back", "alice"); r.Verdict != verdict.Sealed {
			t.Errorf("taken back: %s: %+v", r.Verdict, r.Findings)
		}
		w.git("update-ref", ref, was) // whoever has the entries brings them back: nothing was forked
		res, problems, err := w.verify(false, "main")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range res {
			if !r.Verdict.OK() {
				t.Errorf("%s %s: %+v", r.Commit.Short(), r.Verdict, r.Findings)
			}
		}
		if len(problems) > 0 {
			t.Errorf("%+v", problems)
		}
	})
	t.Run("a false digest in another's seal of the commit", func(t *testing.T) {
		w := newWorld(t, "sha1")
		w.build()
		w.write("x.txt", "x")
		w.git("add", ".")
		id := w.made("x")
		w.seal("alice", prov.Witness, "HEAD")
		w.lie("coder", id)
		res, _, err := w.verify(true, "HEAD")
		if err != nil {
			t.Fatal(err)
		}
		if r := res[id]; r.Verdict != verdict.Sealed || r.Principal.Name != "alice" {
			t.Errorf("%s: %+v", r.Verdict, r.Findings)
		}
	})
}

// lie seals a commit with a content digest that is not that of the content.
func (w *world) lie(who string, commit oid.ID) {
	w.t.Helper()
	s := w.session()
	k := w.sealer(s, who)
	commits, err := provenance.Commits(s, commit.String())
	if err != nil {
		w.t.Fatal(err)
	}
	made, err := k.Seal(context.Background(), prov.Witness, "refs/heads/main", commits)
	if err != nil || len(made) != 1 {
		w.t.Fatal(err, made)
	}
	// Take the honest entry away again, and put the lie in its place.
	name := provenance.LedgerOf(w.t, k, prov.Topic)
	e, _, err := ledger.Read(s, w.oid(name.Ref()))
	if err != nil {
		w.t.Fatal(err)
	}
	o, err := e.Open(envelope.TypeInToto, 1, k.Authority.Ring)
	if err != nil {
		w.t.Fatal(err)
	}
	seal, err := prov.Parse(o)
	if err != nil {
		w.t.Fatal(err)
	}
	seal.Predicate.Changes[0][0].SHA256 = strings.Repeat("0", 64)
	payload, err := seal.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.git("update-ref", name.Ref(), name.Ref()+"~1")
	lied, err := envelope.Seal(envelope.TypeInToto, payload, envelope.SealWith{KeyID: w.keys[who].Public().ID(), Signer: w.keys[who]})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := ledger.Blob(lied)
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.t.TempDir(), "envelope")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	blob := w.git("hash-object", "-w", file)
	tree := w.gitIn("100644 blob "+blob+"\tenvelope.json\n", "mktree")
	entry := w.gitIn("lie\n", "commit-tree", tree, "-p", w.git("rev-parse", name.Ref()))
	w.git("update-ref", name.Ref(), entry)
}

func (w *world) oid(rev string) oid.ID {
	w.t.Helper()
	id, err := oid.Parse(w.git("rev-parse", rev))
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}
