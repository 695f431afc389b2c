package provenance_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// reviews has somebody say something of what goes from one commit to another, for main.
func (w *world) reviews(who string, says review.Verdict, from, to string) {
	w.t.Helper()
	s := w.session()
	base, err := s.Commit(from)
	if err != nil {
		w.t.Fatal(err)
	}
	head, err := s.Commit(to)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.sealer(s, who).Review(context.Background(), head.ID, head.Tree, review.Predicate{
		Verdict: says, Ref: "refs/heads/main", Base: review.Base{Commit: base.ID, Tree: base.Tree},
	}); err != nil {
		w.t.Fatal(err)
	}
}

// wants reports which commits of a range lack reviews, by subject.
func (w *world) lacking(revs ...string) string {
	w.t.Helper()
	res, _, err := w.verify(false, revs...)
	if err != nil {
		w.t.Fatal(err)
	}
	out := ""
	for _, subject := range w.order {
		if r, ok := res[w.commit[subject]]; ok && has(r.Findings, verdict.PolicyReview) {
			out += subject + " "
		}
	}
	return out
}

// change is a commit by coder that main has, under its own name.
func (w *world) change(name string) oid.ID {
	w.t.Helper()
	w.write(name, fmt.Sprint(name, w.clock))
	w.git("add", name)
	id := w.made(name)
	w.seal("coder", prov.Witness, "HEAD")
	return id
}

// Reviews that are asked for are not had by other means: each row tries one, on main, which coder may push to.
func TestReviewAttacks(t *testing.T) {
	const one = `{"version": 1, "protected": ["refs/heads/main"], "reviews": 1}`
	const none = `{"version": 1, "protected": ["refs/heads/main"]}`
	begin := func(t *testing.T, policy string) *world {
		w := court(t)
		w.policy(policy)
		w.grant("alice", "coder", nil)
		w.grant("alice", "helper", nil)
		w.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Push })
		w.clock = w.clock.Add(time.Hour)
		return w
	}
	for name, row := range map[string]struct {
		do   func(w *world) (revs string)
		want string
	}{
		"a step that was approved": {func(w *world) string {
			base := w.oid("HEAD")
			w.change("a")
			w.reviews("ben", review.Approve, base.String(), "HEAD")
			return base.String() + "..main"
		}, ""},
		"an agent's key": {func(w *world) string {
			base := w.oid("HEAD")
			w.change("a")
			w.reviews("helper", review.Approve, base.String(), "HEAD")
			return base.String() + "..main"
		}, "a "},
		"the human who answers for the maker": {func(w *world) string {
			base := w.oid("HEAD")
			w.change("a")
			w.reviews("alice", review.Approve, base.String(), "HEAD")
			return base.String() + "..main"
		}, "a "},
		"admitted beforehand, by its maker, as of a time before reviews were asked for": {func(w *world) string {
			base := w.oid("HEAD")
			id := w.change("a")
			now := w.clock
			w.clock = now.Add(-2 * time.Hour)
			w.admit("coder", "refs/heads/main", base, id)
			w.clock = now
			return base.String() + "..main"
		}, "a "},
		"admitted so, and seen by somebody since": {func(w *world) string {
			base := w.oid("HEAD")
			id := w.change("a")
			now := w.clock
			w.clock = now.Add(-2 * time.Hour)
			w.admit("coder", "refs/heads/main", base, id)
			w.clock = now
			w.looks("ben")
			return base.String() + "..main"
		}, "a "},
		"rejected after it was admitted, as of a time before": {func(w *world) string {
			base := w.oid("HEAD")
			id := w.change("a")
			w.reviews("ben", review.Approve, base.String(), "HEAD")
			w.admit("alice", "refs/heads/main", base, id)
			now := w.clock
			w.clock = w.clock.Add(-time.Minute)
			w.reviews("ben", review.Reject, base.String(), "HEAD")
			w.clock = now
			return "main"
		}, ""},
		"admitted after it was rejected, as of a time before": {func(w *world) string {
			base := w.oid("HEAD")
			id := w.change("a")
			w.reviews("ben", review.Approve, base.String(), "HEAD")
			at := w.clock
			w.clock = w.clock.Add(time.Hour)
			w.reviews("ben", review.Reject, base.String(), "HEAD")
			now := w.clock
			w.clock = at
			w.admit("alice", "refs/heads/main", base, id)
			w.clock = now
			return "main"
		}, "a "},
		"approved from a tree that the ref had left": {func(w *world) string {
			base := w.oid("HEAD")
			w.git("checkout", "-q", "-b", "other")
			w.change("a")
			w.reviews("ben", review.Approve, base.String(), "other")
			w.git("checkout", "-q", "main")
			fix := w.change("fix")
			w.reviews("ben", review.Approve, base.String(), "main")
			w.admit("alice", "refs/heads/main", base, fix)
			w.git("reset", "-q", "--hard", w.git("commit-tree", "-p", "main", "-m", "evil", "other^{tree}"))
			w.head("evil")
			w.seal("coder", prov.Vouching, "HEAD")
			return "main~1..main"
		}, "evil "},
		"both halves of a step that was never approved as one": {func(w *world) string {
			base := w.oid("HEAD")
			w.change("a")
			w.change("b")
			w.reviews("ben", review.Approve, "HEAD~1", "HEAD")
			return base.String() + "..main"
		}, "a "},
		"withdrawn on another clone, with an earlier time": {func(w *world) string {
			base := w.oid("HEAD")
			w.change("a")
			w.reviews("ben", review.Approve, base.String(), "HEAD")
			now := w.clock
			w.renewed(func() {
				w.clock = now.Add(-time.Hour)
				w.reviews("ben", review.Withdraw, base.String(), "HEAD") // it had seen the approval
			})
			w.clock = now
			return base.String() + "..main"
		}, "a "},
		"admitted beforehand, where the ref never went, and seen": {func(w *world) string {
			base := w.oid("HEAD")
			id := w.change("a")
			w.policy(none)
			w.admit("coder", "refs/heads/main", base, id)
			w.looks("alice")
			w.clock = w.clock.Add(time.Hour)
			w.policy(one)
			w.clock = w.clock.Add(time.Hour)
			return base.String() + "..main"
		}, "a "},
		"an approved branch of which somebody admits a part": {func(w *world) string {
			base := w.oid("HEAD")
			part := w.change("a")
			w.change("b")
			w.reviews("ben", review.Approve, base.String(), "HEAD")
			w.admit("coder", "refs/heads/main", base, part)
			w.looks("alice")
			return base.String() + "..main"
		}, ""},
		"the old tree again, behind a commit of its base that changes nothing": {func(w *world) string {
			base := w.oid("HEAD")
			w.git("checkout", "-q", "-b", "side")
			empty := w.made("empty")
			w.seal("coder", prov.Witness, "HEAD")
			w.change("a")
			w.reviews("ben", review.Approve, empty.String(), "side") // its base is not where main was
			tree := w.git("rev-parse", "side^{tree}")
			w.git("checkout", "-q", "main")
			step := func(name, tree string, parents ...string) oid.ID {
				args := []string{"commit-tree", "-m", name, tree}
				for _, p := range parents {
					args = append(args, "-p", p)
				}
				w.git("reset", "-q", "--hard", w.git(args...))
				id := w.head(name)
				w.seal("coder", prov.Vouching, "HEAD")
				return id
			}
			squash := step("squash", tree, base.String())
			w.admit("alice", "refs/heads/main", base, squash)
			back := step("back", w.git("rev-parse", base.String()+"^{tree}"), squash.String())
			w.reviews("ben", review.Approve, squash.String(), "main")
			w.admit("alice", "refs/heads/main", squash, back)
			step("merge", w.git("rev-parse", back.String()+"^{tree}"), back.String(), empty.String())
			step("again", tree, "main")
			return back.String() + "..main"
		}, "again "},
		"the old tree again, of a ref whose moves nobody admitted": {func(w *world) string {
			base := w.oid("HEAD")
			tree := w.git("rev-parse", "HEAD^{tree}")
			w.change("a")
			w.reviews("ben", review.Approve, base.String(), "HEAD")
			done := w.git("rev-parse", "HEAD^{tree}")
			step := func(name, tree string) oid.ID {
				w.git("reset", "-q", "--hard", w.git("commit-tree", "-m", name, "-p", "main", tree))
				id := w.head(name)
				w.seal("coder", prov.Vouching, "HEAD")
				return id
			}
			back := step("back", tree)
			step("again", done)
			return back.String() + "..main"
		}, "again "},
		"by somebody who has left since, for what is to come": {func(w *world) string {
			base := w.oid("HEAD")
			w.change("a")
			w.reviews("ben", review.Approve, base.String(), "HEAD")
			w.looks("alice")
			w.adopted(func(r *trust.Root) error { return r.Remove("ben", trust.Leaving{Grants: trust.Lapse}) }, "alice")
			w.clock = w.clock.Add(time.Hour)
			return base.String() + "..main"
		}, "a "},
		"for an empty base": {func(w *world) string {
			base := w.oid("HEAD")
			w.change("a")
			s := w.session()
			head, _ := s.Commit("HEAD")
			if _, err := w.sealer(s, "ben").Review(context.Background(), head.ID, head.Tree, review.Predicate{Verdict: review.Approve, Ref: "refs/heads/main"}); err != nil {
				w.t.Fatal(err)
			}
			return base.String() + "..main"
		}, "a "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, one)
			w.grantVouch()
			if got := w.lacking(row.do(w)); got != row.want {
				t.Errorf("lacking: %q, want %q", got, row.want)
			}
		})
	}

	t.Run("what was admitted before reviews were asked for stays", func(t *testing.T) {
		t.Parallel()
		for _, by := range []string{"alice", "coder"} {
			w := begin(t, none)
			base := w.oid("HEAD")
			id := w.change("a")
			w.admit(by, "refs/heads/main", base, id)
			w.looks("ben")
			w.clock = w.clock.Add(time.Hour)
			w.policy(one)
			w.clock = w.clock.Add(time.Hour)
			if got := w.lacking("main"); got != "" {
				t.Errorf("admitted by %s: lacking %q", by, got)
			}
			w.change("b")
			if got := w.lacking("main"); got != "b " {
				t.Errorf("admitted by %s: lacking %q of what is to come", by, got)
			}
			w.pin = w.rootOf(w.session()).Digest // who pins the newest version knows of the others as well
			if got := w.lacking("main"); got != "b " {
				t.Errorf("admitted by %s: lacking %q with the newest pinned", by, got)
			}
		}
	})
}

// grantVouch lets coder seal what it made by other means.
func (w *world) grantVouch() {
	w.t.Helper()
	w.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch })
}

// apart does something in a clone that has not heard of some ledgers, and is another replica.
func (w *world) apart(refs []string, do func()) {
	w.t.Helper()
	at := map[string]string{}
	for _, ref := range refs {
		at[ref] = w.git("rev-parse", ref)
		w.git("update-ref", "-d", ref)
	}
	for _, file := range []string{"replica", "seen"} {
		if err := os.RemoveAll(filepath.Join(w.dir, ".git/covenant", file)); err != nil {
			w.t.Fatal(err)
		}
	}
	do()
	for ref, id := range at {
		w.git("update-ref", ref, id)
	}
}

// A comment that an agent dates ahead makes nothing of what a person says afterwards the last word; nor does an approval that is dated ahead count before
// somebody else has seen it.
func TestReviewsFromTheFuture(t *testing.T) {
	t.Parallel()
	const one = `{"version": 1, "protected": ["refs/heads/main"], "reviews": 1}`
	begin := func(t *testing.T) (w *world, ahead func(do func())) {
		w = court(t)
		w.policy(one)
		w.grant("alice", "coder", nil)
		w.grant("alice", "helper", nil)
		w.clock = w.clock.Add(time.Hour)
		w.change("x")
		return w, func(do func()) {
			now := w.clock
			w.clock = time.Date(9999, 12, 1, 0, 0, 0, 0, time.UTC)
			do()
			w.clock = now
		}
	}
	t.Run("a comment", func(t *testing.T) {
		t.Parallel()
		w, ahead := begin(t)
		ahead(func() { w.reviews("helper", review.Comment, "HEAD~1", "HEAD") })
		w.reviews("ben", review.Approve, "HEAD~1", "HEAD")
		if got := w.lacking("HEAD~1..HEAD"); got != "" {
			t.Fatalf("approved, and %s lack reviews", got)
		}
		w.apart(append(w.ledgers("provenance", "helper"), w.ledgers("provenance", "ben")...), func() { w.reviews("ben", review.Reject, "HEAD~1", "HEAD") })
		if got := w.lacking("HEAD~1..HEAD"); got != "x " {
			t.Errorf("rejected since, and %q lack reviews", got)
		}
	})
	t.Run("an approval", func(t *testing.T) {
		t.Parallel()
		w, ahead := begin(t)
		ahead(func() { w.reviews("ben", review.Approve, "HEAD~1", "HEAD") })
		if got := w.lacking("HEAD~1..HEAD"); got != "x " {
			t.Errorf("of a time that has not come, and %q lack reviews", got)
		}
		w.reviews("alice", review.Comment, "HEAD~1", "HEAD") // she saw it
		if got := w.lacking("HEAD~1..HEAD"); got != "" {
			t.Errorf("seen, and %s lack reviews", got)
		}
	})
}
