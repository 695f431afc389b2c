package provenance_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/intent"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// ran is a run that passed.
func ran(at time.Time) evidence.Predicate {
	sum := sha256.Sum256(nil)
	return evidence.Predicate{
		Configuration: []evidence.Program{{Name: "/bin/true"}}, Result: evidence.Passed,
		Run: evidence.Run{
			Argv: []string{"true"}, Environment: evidence.Environment{Names: []string{}}, How: evidence.Observed, Name: "test", Output: evidence.Output{SHA256: hex.EncodeToString(sum[:])},
			Platform: "linux/amd64", Started: envelope.Timestamp(at), Version: 1, Where: "worktree",
		},
	}
}

func (w *world) runs(who string, tree oid.ID) envelope.Digest {
	w.t.Helper()
	made, err := w.sealer(w.session(), who).RecordEvidence(context.Background(), tree, ran(w.clock))
	if err != nil {
		w.t.Fatal(err)
	}
	return made.ID
}

func (w *world) commitAt(rev string) git.Commit {
	w.t.Helper()
	c, err := w.session().Commit(rev)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// says records a statement about an intent.
func (w *world) recorded(who, typ string, body any) envelope.Digest {
	w.t.Helper()
	made, err := w.sealer(w.session(), who).Record(context.Background(), intent.Topic, provenance.Item{Type: typ, Body: body, Subject: typ})
	if err != nil {
		w.t.Fatal(err)
	}
	return made[0].ID
}

func (w *world) opens(who, text string) (intent.ID, envelope.Digest) {
	id := w.recorded(who, intent.OpenedType, intent.Opened{Fields: intent.Fields{Priority: intent.Medium, Role: intent.Planner, Text: text, Title: text}})
	return intent.IDOf(id), id
}

func (w *world) moves(who string, id intent.ID, after envelope.Digest, from, to intent.State, role intent.Role) envelope.Digest {
	return w.recorded(who, intent.MovedType, intent.Moved{After: after, From: from, Intent: id, Role: role, To: to})
}

// bound is a world with a commit by nobody on top, and, of the commit before it, evidence and a review.
type bound struct {
	*world
	other, right, gone envelope.Digest // evidence: about another tree, about HEAD's, and one that was taken away
	review, step       envelope.Digest // of another step, and of HEAD's
	id, id2            intent.ID
	life               []envelope.Digest // of the first
	second             envelope.Digest
}

func newBound(t *testing.T) *bound {
	t.Helper()
	w := newWorld(t, "sha1")
	w.write("a", "before\n")
	w.git("add", ".")
	w.made("before")
	w.found()
	w.introduce("coder")
	w.introduce("helper")
	w.grant("alice", "coder", func(g *capability.Grant) {
		g.Action, g.Scope = intent.MoveAction, scope(t, `{"version":1,"roles":["implementer"]}`)
	})
	b := &bound{world: w}
	change := func(name string) {
		w.write("a", name+"\n")
		w.git("add", ".")
		w.made(name)
	}
	change("one")
	w.seal("coder", prov.Witness, "HEAD")
	b.other = w.runs("helper", w.commitAt("HEAD").Tree)
	b.gone = w.runs("helper", w.commitAt("HEAD").Tree)
	w.git("update-ref", w.ledgers("provenance", "helper")[0], w.ledgers("provenance", "helper")[0]+"~1")
	b.review = w.reviewed("alice", review.Approve, "HEAD~1", "HEAD")
	change("two")
	b.right = w.runs("coder", w.commitAt("HEAD").Tree)
	b.step = w.reviewed("alice", review.Approve, "HEAD~1", "HEAD")
	var first envelope.Digest
	b.id, first = w.opens("alice", "first")
	b.id2, b.second = w.opens("alice", "second")
	b.life = []envelope.Digest{first, w.moves("alice", b.id, first, intent.Proposed, intent.Triaged, intent.Planner)}
	return b
}

// reviewed is reviews, and returns what was recorded.
func (w *world) reviewed(who string, says review.Verdict, from, to string) envelope.Digest {
	w.t.Helper()
	base, head := w.commitAt(from), w.commitAt(to)
	r, err := w.sealer(w.session(), who).Review(context.Background(), head.ID, head.Tree, review.Predicate{
		Verdict: says, Ref: "refs/heads/main", Base: review.Base{Commit: base.ID, Tree: base.Tree},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

// seals has alice vouch for HEAD, naming what she is told, and returns what is said of that.
func (b *bound) seals(id intent.ID, names prov.Bound) verdict.Result {
	b.t.Helper()
	k := b.sealer(b.session(), "alice")
	k.Intent = string(id)
	k.Names(b.t, b.commitAt("HEAD"), names)
	res, _, err := b.verify(false, "HEAD~1..HEAD")
	if err != nil {
		b.t.Fatal(err)
	}
	return res[b.commitAt("HEAD").ID]
}

// What a seal names that is not there, or is about something else, or never was, is found, whoever signs it.
func TestSealsThatNameWhatIsNot(t *testing.T) {
	t.Parallel()
	nowhere := envelope.Digest("sha256:" + strings.Repeat("1", 64))
	list := func(ids ...envelope.Digest) []envelope.Digest { slices.Sort(ids); return ids }
	state := func(last envelope.Digest, state intent.State, n int) *prov.IntentState {
		return &prov.IntentState{Last: last, State: string(state), Statements: n}
	}
	for name, row := range map[string]struct {
		want verdict.Code // "" for none
		do   func(b *bound) (intent.ID, prov.Bound)
	}{
		"nothing": {"", func(*bound) (intent.ID, prov.Bound) { return "", prov.Bound{} }},
		"what is": {"", func(b *bound) (intent.ID, prov.Bound) {
			return b.id, prov.Bound{Evidence: list(b.right), Reviews: list(b.step), IntentState: state(b.life[1], intent.Triaged, 2)}
		}},
		"what was": {"", func(b *bound) (intent.ID, prov.Bound) {
			return b.id, prov.Bound{IntentState: state(b.life[0], intent.Proposed, 1)}
		}},
		"no evidence":           {verdict.LedgerRolledBack, func(b *bound) (intent.ID, prov.Bound) { return "", prov.Bound{Evidence: list(b.right, nowhere)} }},
		"rolled back":           {verdict.LedgerRolledBack, func(b *bound) (intent.ID, prov.Bound) { return "", prov.Bound{Evidence: list(b.gone)} }},
		"another tree":          {verdict.SealEvidence, func(b *bound) (intent.ID, prov.Bound) { return "", prov.Bound{Evidence: list(b.right, b.other)} }},
		"a review as evidence":  {verdict.SealEvidence, func(b *bound) (intent.ID, prov.Bound) { return "", prov.Bound{Evidence: list(b.step)} }},
		"an intent as evidence": {verdict.SealEvidence, func(b *bound) (intent.ID, prov.Bound) { return "", prov.Bound{Evidence: list(b.life[0])} }},
		"no review":             {verdict.LedgerRolledBack, func(*bound) (intent.ID, prov.Bound) { return "", prov.Bound{Reviews: list(nowhere)} }},
		"another step":          {verdict.SealReview, func(b *bound) (intent.ID, prov.Bound) { return "", prov.Bound{Reviews: list(b.step, b.review)} }},
		"evidence as a review":  {verdict.SealReview, func(b *bound) (intent.ID, prov.Bound) { return "", prov.Bound{Reviews: list(b.right)} }},
		"to its tree from another": {verdict.SealReview, func(b *bound) (intent.ID, prov.Bound) {
			return "", prov.Bound{Reviews: list(b.reviewed("alice", review.Approve, "HEAD~2", "HEAD"))}
		}},
		"no statement": {verdict.LedgerRolledBack, func(b *bound) (intent.ID, prov.Bound) {
			return b.id, prov.Bound{IntentState: state(nowhere, intent.Ready, 3)}
		}},
		"another state": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			return b.id, prov.Bound{IntentState: state(b.life[1], intent.Planned, 2)}
		}},
		"another number": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			return b.id, prov.Bound{IntentState: state(b.life[1], intent.Triaged, 3)}
		}},
		"another intent's": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			return b.id2, prov.Bound{IntentState: state(b.life[1], intent.Triaged, 2)}
		}},
		"evidence as a statement": {verdict.LedgerRolledBack, func(b *bound) (intent.ID, prov.Bound) {
			return b.id, prov.Bound{IntentState: state(b.right, intent.Triaged, 1)}
		}},
		"a way that there is not": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			at := b.moves("alice", b.id, b.life[1], intent.Triaged, intent.Ready, intent.Verifier)
			return b.id, prov.Bound{IntentState: state(at, intent.Ready, 3)}
		}},
		"from a state that it was not in": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			at := b.moves("alice", b.id, b.life[1], intent.Validation, intent.Ready, intent.Verifier)
			return b.id, prov.Bound{IntentState: state(at, intent.Ready, 3)}
		}},
		"a role that its signer never had": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			at := b.moves("coder", b.id, b.life[1], intent.Triaged, intent.Planned, intent.Planner)
			return b.id, prov.Bound{IntentState: state(at, intent.Planned, 3)}
		}},
		"an intent that its signer never might open": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			id, at := b.opens("helper", "mine")
			return id, prov.Bound{IntentState: state(at, intent.Proposed, 1)}
		}},
		"a role that it has": {"", func(b *bound) (intent.ID, prov.Bound) {
			planned := b.moves("alice", b.id, b.life[1], intent.Triaged, intent.Planned, intent.Planner)
			at := b.moves("coder", b.id, planned, intent.Planned, intent.InProgress, intent.Implementer)
			return b.id, prov.Bound{IntentState: state(at, intent.InProgress, 4)}
		}},
		"a statement that lost to another": {"", func(b *bound) (intent.ID, prov.Bound) { // it was so, for who had seen no other
			at := b.moves("alice", b.id, b.life[1], intent.Triaged, intent.Planned, intent.Planner)
			b.moves("alice", b.id, b.life[1], intent.Triaged, intent.Blocked, intent.Planner)
			return b.id, prov.Bound{IntentState: state(at, intent.Planned, 3)}
		}},
		"part of another intent's life": {verdict.SealIntent, func(b *bound) (intent.ID, prov.Bound) {
			at := b.moves("alice", b.id2, b.life[1], intent.Triaged, intent.Planned, intent.Planner)
			return b.id2, prov.Bound{IntentState: state(at, intent.Planned, 3)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBound(t)
			id, names := row.do(b)
			r := b.seals(id, names)
			switch {
			case row.want == "" && r.Verdict != verdict.Sealed:
				t.Errorf("%s", codes(r))
			case row.want != "" && (r.Verdict == verdict.Sealed || !has(r.Findings, row.want)):
				t.Errorf("%s, not %s: %+v", codes(r), row.want, r.Findings)
			}
			if row.want == "" {
				s := b.session()
				span, err := provenance.ParseSpan(s, "HEAD~1..HEAD")
				if err != nil {
					t.Fatal(err)
				}
				cache := provenance.OpenCache(s.Repo(), b.home)
				for range 2 { // from memory it is the same
					rep, err := provenance.Verify(context.Background(), s, span, provenance.Options{Pin: b.pin, Now: b.clock, Cache: cache})
					if err != nil {
						t.Fatal(err)
					}
					for r, err := range rep.Results {
						if err != nil || !r.Verdict.OK() || has(r.Warnings, verdict.SealLapsed) {
							t.Errorf("remembered: %s %+v %v", codes(r), r.Warnings, err)
						}
					}
				}
			}
		})
	}
}

// A sealer names what holds and is in its ledger, and nothing that somebody put beside it: else others could make seals that do not verify.
func TestPlanted(t *testing.T) {
	t.Parallel()
	b := newBound(t)
	head := b.commitAt("HEAD")
	other := b.commitAt("HEAD~1")
	k := b.sealer(b.session(), "alice")
	want := prov.Bound{Evidence: []envelope.Digest{b.right}, Reviews: []envelope.Digest{b.step}}
	hold := func(what string) {
		t.Helper()
		b.t = t
		if got := b.sealer(b.session(), "alice").BoundOf(t, head); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: it names %+v", what, got)
		}
	}
	hold("as it was")
	if got := k.BoundOf(t, other); !slices.Equal(got.Evidence, []envelope.Digest{b.other}) || !slices.Equal(got.Reviews, []envelope.Digest{b.review}) {
		t.Errorf("of the one before, whose evidence was rolled back, it names %+v", got)
	}
	b.plant(head.Tree, []byte("junk"))
	b.plant(head.Tree, []byte(`{"payload":"","payloadType":"x","signatures":[]}`))
	for _, line := range strings.Split(b.git("notes", "--ref=covenant", "show", other.Tree.String()), "\n") {
		b.plant(head.Tree, []byte(line)) // about another tree
	}
	b.planted("helper", head.Tree, func(p string) string { return p }) // signed for this tree, and in no ledger
	b.planted("mallory", head.Tree, func(p string) string { return p })
	hold("with what was planted")
	b.reviewed("coder", review.Approve, "HEAD~1", "HEAD") // an agent's word
	b.reviewed("alice", review.Comment, "HEAD~1", "HEAD")
	hold("with talk")
	b.seal("alice", prov.Vouching, "HEAD")
	res, _, err := b.verify(true, "HEAD~1..HEAD")
	if err != nil || res[head.ID].Verdict != verdict.Sealed {
		t.Errorf("%v %s", err, codes(res[head.ID]))
	}
}

// plant puts a line on an object, as whoever may write notes can.
func (b *bound) plant(on oid.ID, line []byte) {
	b.t.Helper()
	s := b.session()
	base := b.oid(notes.Ref)
	tip, err := notes.Edit(s, base, notes.Ident(b.clock), "planted", []notes.Add{{Object: on, Line: line}})
	if err == nil {
		err = s.Flush()
	}
	if err == nil {
		err = s.Update("planted", git.RefUpdate{Name: notes.Ref, New: tip, Old: base})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// planted signs a statement of evidence for a tree, and puts it on a tree: no ledger has it.
func (b *bound) planted(who string, on oid.ID, change func(payload string) string) {
	b.t.Helper()
	p := ran(b.clock)
	p.Run.Principal = evidence.Principal{Accountable: "alice", Kind: "agent", Name: who}
	p.Entry = envelope.Header{Prev: b.other, Repository: b.pin, Seq: 2, Time: envelope.Timestamp(b.clock), Topic: "provenance", Writer: b.ledgers("provenance", "helper")[0][len("refs/covenant/ledger/provenance/"):]}
	payload, err := evidence.New(on, p).Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	e, err := envelope.Seal(envelope.TypeInToto, []byte(change(string(payload))), envelope.SealWith{KeyID: b.keys[who].Public().ID(), Signer: b.keys[who]})
	if err != nil {
		b.t.Fatal(err)
	}
	line, err := e.Bytes()
	if err != nil {
		b.t.Fatal(err)
	}
	b.plant(on, line)
}

// What is newer than this program, on a tree, is told, and takes nothing from the evidence beside it.
func TestNewerEvidence(t *testing.T) {
	t.Parallel()
	b := newBound(t)
	head := b.commitAt("HEAD")
	b.planted("helper", head.Tree, func(p string) string { return strings.Replace(p, `"version":1`, `"version":2`, 1) })
	s := b.session()
	f, err := provenance.Load(context.Background(), s, b.pin)
	if err != nil {
		t.Fatal(err)
	}
	good, findings, err := f.ExamineEvidence(s, head.Tree)
	if err != nil || len(good) != 1 || good[0].ID != b.right || len(findings) != 1 || findings[0].Code != provenance.EvidenceNewer {
		t.Errorf("%+v %+v %v", good, findings, err)
	}
	if got := b.sealer(b.session(), "alice").BoundOf(t, head); !slices.Equal(got.Evidence, []envelope.Digest{b.right}) {
		t.Errorf("a seal would name %+v", got)
	}
}

// What a seal names and that counts for nothing since, as its ledger is broken before it, is a warning of a seal that is good.
func TestLapsed(t *testing.T) {
	t.Parallel()
	b := newBound(t)
	b.seal("alice", prov.Vouching, "HEAD")
	head := b.commitAt("HEAD").ID
	res, _, err := b.verify(false, "HEAD~1..HEAD")
	if err != nil || res[head].Verdict != verdict.Sealed || len(res[head].Warnings) > 0 {
		t.Fatalf("%v %s %+v", err, codes(res[head]), res[head].Warnings)
	}
	b.rewrap(b.ledgers("provenance", "coder")[0], func(n int, _, tree string) string {
		if n == 0 {
			return b.emptyTree()
		}
		return tree
	})
	res, _, err = b.verify(false, "HEAD~1..HEAD")
	if err != nil || res[head].Verdict != verdict.Sealed || !has(res[head].Warnings, verdict.SealLapsed) {
		t.Errorf("%v %s %+v", err, codes(res[head]), res[head].Warnings)
	}
}

// Many runs by an agent crowd out neither others' nor the seal: at most so many are named, of keys of the trust root first, and it says that there were more.
func TestMany(t *testing.T) {
	t.Parallel()
	b := newBound(t)
	head := b.commitAt("HEAD")
	mine := b.runs("alice", head.Tree)
	k := b.sealer(b.session(), "coder")
	for range prov.MaxBound + 3 {
		if _, err := k.RecordEvidence(context.Background(), head.Tree, ran(b.clock)); err != nil {
			t.Fatal(err)
		}
	}
	got := b.sealer(b.session(), "alice").BoundOf(t, head)
	if len(got.Evidence) != prov.MaxBound || got.EvidenceMore != 5 || !slices.Contains(got.Evidence, mine) || !slices.IsSorted(got.Evidence) || slices.Contains(got.Evidence, b.right) {
		t.Errorf("it names %+v", got)
	}
	b.seal("alice", prov.Vouching, "HEAD")
	res, _, err := b.verify(false, "HEAD~1..HEAD")
	if err != nil || res[head.ID].Verdict != verdict.Sealed || res[head.ID].Seal.Seal.Predicate.EvidenceMore != 5 {
		t.Errorf("%v %s", err, codes(res[head.ID]))
	}
}
