package provenance_test

import (
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Whoever may push, and has no key, brings nothing back; and whoever has a key for something else takes nothing away.
func TestDerivedAttacked(t *testing.T) {
	if testing.Short() {
		t.Skip("many repositories")
	}
	rows(t, []row{
		{"back and forth on the branch, reverted by another's button, and forth again", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil")
			p.sealed("coder", "src/a=ground")
			p.sealed("coder", "src/a=evil", "src/n=1")
			p.on("main")
			p.gone("work")
			p.squashedBy("alice", "src/a=ground")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"the same, forth again after the squash", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil")
			p.on("main")
			p.squash("work")
			p.on("work")
			p.sealed("coder", "src/a=ground")
			p.sealed("coder", "src/a=evil")
			p.git("branch", "-m", "old")
			p.on("main")
			p.squashedBy("alice", "src/a=ground")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"a fix by a button, undone by what another had tried before", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=hole")
			p.sealed("coder", "src/a=fixed")
			p.sealed("coder", "src/a=hole")
			p.on("main")
			p.gone("work")
			p.squashedBy("alice", "src/a=fixed")
			p.sealed("helper", "docs/d=1")
			return p.put("src/a=hole")
		}, verdict.Unsealed},
		{"the second of two steps that came after both, over more merges than are followed", func(p *press) oid.ID {
			p.tipOnly = true // what came after is no part of the range
			return p.late(false)
		}, verdict.Unsealed},
		{"the first of those two steps", func(p *press) oid.ID {
			p.tipOnly = true
			return p.late(true)
		}, verdict.Unsealed},
		{"one's own fix, undone by a step before it", func(p *press) oid.ID {
			p.squashed("src/a=fixed", "src/a=hole", "src/a=fixed")
			return p.put("src/a=hole")
		}, verdict.Unsealed},
		{"a step that was taken back, by two commits", func(p *press) oid.ID {
			p.squashed("src/a=evil", "src/a=evil2", "src/b=1", "src/a=ground")
			p.put("src/a=evil")
			return p.put("src/a=evil2")
		}, verdict.Unsealed},
		{"the first of the two", func(p *press) oid.ID {
			p.squashed("src/a=evil", "src/a=evil2", "src/b=1", "src/a=ground")
			id := p.put("src/a=evil")
			p.put("src/a=evil2")
			return id
		}, verdict.Unsealed},
		{"a file that was added and deleted, by two commits", func(p *press) oid.ID {
			p.squashed("src/n=evil src/b=1", "src/n=evil2", "src/n=")
			p.put("src/n=evil")
			return p.put("src/n=evil2")
		}, verdict.Unsealed},
		{"a file that was added, moved and deleted", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/tool=evil", "src/b=1")
			p.git("mv", "src/tool", "src/attic")
			p.made("mv")
			p.seal("coder", prov.Witness, "HEAD")
			p.sealed("coder", "src/attic=")
			p.on("main")
			p.gone("work")
			return p.put("src/tool=evil")
		}, verdict.Unsealed},
		{"taken back with another's step between", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil", "src/b=1")
			p.sealed("alice", "src/a=eviL")
			p.sealed("coder", "src/a=ground")
			p.on("main")
			p.gone("work")
			return p.put("src/a=eviL")
		}, verdict.Unsealed},
		{"taken back by a merge that takes the other side", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil", "src/b=1")
			p.on("main")
			p.sealed("coder", "src/g=1")
			p.on("work")
			p.git("merge", "-q", "--no-ff", "--no-commit", "main")
			p.git("checkout", "-q", "main", "--", "src/a")
			p.made("merge, and leave it out")
			p.seal("coder", prov.Witness, "HEAD")
			p.on("main")
			p.takes("work", "src/b")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"what a merge kept that knew of its revert", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil")
			p.on("main")
			p.squash("work")
			p.revert("alice", "HEAD")
			p.sealed("coder", "src/b=9")
			p.on("work")
			p.merge("main")
			p.seal("coder", prov.Witness, "HEAD")
			p.on("main")
			p.git("branch", "-q", "-D", "work")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"the draft of what was edited while it was squashed, and reverted", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.sealed("coder", "src/a=2")
			p.on("main")
			p.git("merge", "-q", "--squash", "work")
			p.write("src/a", "2 and a word\n")
			p.git("add", ".")
			p.made("squash with an edit")
			p.seal("alice", prov.Witness, "HEAD")
			p.revert("alice", "HEAD")
			return p.put("src/a=2")
		}, verdict.Unsealed},
		{"a step of a squash, after a revert of what came after it", func(p *press) oid.ID {
			p.squashed("src/a=1", "src/a=2", "src/a=3")
			p.sealed("alice", "src/a=1")
			return p.put("src/a=2")
		}, verdict.Unsealed},
		{"a grant that ended, and somebody built on it who could not", func(p *press) oid.ID {
			p.grant("alice", "mallory", func(g *capability.Grant) { g.Expires = envelope.Timestamp(p.clock.Add(time.Hour)) })
			p.branch("work", "HEAD")
			p.sealed("mallory", "src/a=draft")
			p.on("main")
			p.sealed("alice", "docs/d=0")
			p.branch("local", "main")
			id := p.put("src/a=draft")
			p.sealed("helper", "docs/d=1")
			p.looks("alice")
			p.on("main")
			p.git("branch", "-q", "-D", "local")
			p.clock = p.clock.Add(1000 * time.Hour)
			p.git("merge", "-q", "--ff-only", id.String())
			return id
		}, verdict.Unsealed},
		{"the same parent twice", func(p *press) oid.ID {
			p.squashed("src/a=evil")
			p.revert("alice", "HEAD")
			return p.joined("src/a", "evil", "HEAD", "HEAD")
		}, verdict.Unsealed},
		{"a merge with the past of one's own", func(p *press) oid.ID {
			p.squashed("src/a=evil")
			p.revert("alice", "HEAD")
			return p.joined("src/a", "evil", "HEAD", "HEAD~1")
		}, verdict.Unsealed},
		{"the same, the past first", func(p *press) oid.ID {
			p.squashed("src/a=evil")
			p.revert("alice", "HEAD")
			p.sealed("alice", "docs/d=3")
			return p.joined("src/a", "evil", "HEAD~2", "HEAD")
		}, verdict.Unsealed},
		{"back and forth, and another takes it back on the same branch", func(p *press) oid.ID {
			p.flips()
			p.on("work")
			p.sealed("alice", "src/a=ground")
			p.on("main")
			p.takes("work", "src/a")
			p.sealed("helper", "docs/d=1")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"the same with a fix", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=hole")
			p.sealed("coder", "src/a=fixed")
			p.sealed("coder", "src/a=hole")
			p.on("main")
			p.squash("work")
			p.on("work")
			p.sealed("alice", "src/a=fixed", "src/g=7")
			p.on("main")
			p.takes("work", "src/a", "src/g")
			return p.put("src/a=hole")
		}, verdict.Unsealed},
		{"another takes it back on top of a branch that has it", func(p *press) oid.ID {
			p.flips()
			p.branch("back", "HEAD")
			p.merge("work")
			p.seal("alice", prov.Witness, "HEAD")
			p.sealed("alice", "src/a=ground")
			p.on("main")
			p.takes("back", "src/a")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"a file that was added, deleted and added, and that another deletes on the branch", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/n=evil", "src/b=2")
			p.sealed("coder", "src/n=")
			p.sealed("coder", "src/n=evil")
			p.on("main")
			p.squash("work")
			p.on("work")
			p.sealed("alice", "src/n=")
			p.on("main")
			p.git("rm", "-q", "src/n")
			p.made("squash work")
			p.sealed("helper", "docs/d=3")
			return p.put("src/n=evil")
		}, verdict.Unsealed},
		{"a revert by the forge that nobody sealed, undone", func(p *press) oid.ID {
			p.flips()
			p.git("revert", "--no-edit", "HEAD~0", "-n")
			p.git("checkout", "-q", "HEAD", "--", "src/n")
			p.made("Revert, by the forge")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"that revert itself", func(p *press) oid.ID {
			p.flips()
			p.write("src/a", "ground\n")
			p.git("add", ".")
			id := p.made("Revert, by the forge")
			p.put("src/a=evil")
			return id
		}, verdict.Unsealed},
		{"a revert by who may not, undone", func(p *press) oid.ID {
			p.agent()
			p.flips()
			p.branch("agent/x", "HEAD")
			p.sealedOn("mallory", "refs/heads/agent/x", "src/a=ground")
			p.on("main")
			p.squash("agent/x")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"a fix undone by a step back from a proposal of nobody", func(p *press) oid.ID {
			p.branch("proposal", "HEAD")
			p.put("src/a=fix") // by somebody without a key
			p.sealed("coder", "src/a=ground")
			p.on("main")
			p.git("branch", "-q", "-D", "proposal")
			p.sealed("alice", "src/a=fix", "docs/d=7")
			p.sealed("helper", "docs/d=8")
			return p.put("src/a=ground")
		}, verdict.Unsealed},
		{"the same, the fix by a button", func(p *press) oid.ID {
			p.branch("proposal", "HEAD")
			p.put("src/a=fix", "src/q=1")
			p.sealed("coder", "src/a=ground")
			p.on("main")
			p.git("branch", "-q", "-D", "proposal")
			p.squashedBy("alice", "src/a=fix")
			p.sealed("helper", "docs/d=8")
			return p.put("src/a=ground")
		}, verdict.Unsealed},
		{"who may not records that a revert was made of the draft", func(p *press) oid.ID {
			p.agent()
			p.branch("work", "HEAD")
			first := p.sealed("coder", "src/b=1")
			draft := p.sealed("coder", "src/a=evil")
			p.git("commit", "-q", "--amend", "-m", "better words")
			amended := p.head("amended")
			p.seal("coder", prov.Witness, "HEAD")
			p.rewrote("coder", "amend", amended, draft)
			p.on("main")
			p.gone("work")
			r := p.revert("alice", "HEAD")
			p.says("mallory", "refs/heads/agent/x", r, r)
			p.rewrote("mallory", "rebase", r, first)
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"who may not records that the draft was made of the revert", func(p *press) oid.ID {
			p.agent()
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			draft := p.sealed("coder", "src/a=evil")
			p.git("commit", "-q", "--amend", "-m", "better words")
			amended := p.head("amended")
			p.seal("coder", prov.Witness, "HEAD")
			p.rewrote("coder", "amend", amended, draft)
			p.on("main")
			p.gone("work")
			p.branch("back", "HEAD")
			r := p.sealed("alice", "src/a=ground")
			p.on("main")
			p.gone("back")
			p.says("mallory", "refs/heads/agent/x", amended, r)
			p.rewrote("mallory", prov.CherryPick, amended, r)
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"a pick with an edit that is recorded as one", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			first := p.sealed("coder", "src/b=1")
			draft := p.sealed("coder", "src/a=evil")
			p.git("commit", "-q", "--amend", "-m", "better words")
			amended := p.head("amended")
			p.seal("coder", prov.Witness, "HEAD")
			p.rewrote("coder", "amend", amended, draft)
			p.on("main")
			p.gone("work")
			r := p.sealed("alice", "src/a=ground", "src/g=1")
			p.rewrote("alice", prov.CherryPick, r, first)
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"lies about the parents of another's commit, by who may other paths", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			first := p.sealed("coder", "src/b=1")
			p.sealed("coder", "src/a=evil")
			p.on("main")
			p.gone("work")
			r := p.revert("alice", "HEAD")
			p.says("helper", "refs/heads/work", first, r)
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"the same, to spend an honest squash", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			first := p.sealed("coder", "src/b=1")
			p.sealed("coder", "src/a=evil")
			p.on("main")
			id := p.gone("work")
			p.says("helper", "refs/heads/work", first, id)
			return id
		}, verdict.Derived},
		{"a person's lie about the parents of a commit of nobody's, which is here", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			f := p.made("by a forge")
			p.sealed("coder", "src/a=evil")
			p.on("main")
			p.gone("work")
			r := p.revert("alice", "HEAD")
			p.sealer(p.session(), "alice").Claims(p.t, "refs/heads/main", nil, []provenance.Claim{{
				Commit:  git.Commit{ID: f, Tree: p.tree(), Parents: []oid.ID{r}},
				Changes: [][]prov.Change{{claim("src/b", p.git("rev-parse", "HEAD:src/b"), p.git("rev-parse", "HEAD:src/a"))}},
			}})
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"moved away, and mended there", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/tool=evil", "src/b=1")
			p.git("mv", "src/tool", "src/attic")
			p.made("mv")
			p.seal("coder", prov.Witness, "HEAD")
			p.sealed("coder", "src/attic=good")
			p.on("main")
			p.gone("work")
			return p.put("src/tool=evil")
		}, verdict.Unsealed},
		{"taken back through a commit of nobody", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil", "src/b=1")
			p.put("src/a=eviL") // a suggestion by a button
			p.sealed("coder", "src/a=ground")
			p.on("main")
			p.gone("work")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"another session of the same agent knows better", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealedOn("coder", "refs/heads/work", "src/a=evil")
			p.on("main")
			p.gone("work")
			p.revert("alice", "HEAD")
			p.branch("one", "HEAD")
			p.sealedOn("coder", "", "src/b=1") // knows the revert
			p.branch("two", "ground")
			p.put("docs/wip=1")                   // a colleague's
			p.sealedOn("coder", "", "src/a=evil") // of an old base
			p.on("main")
			p.git("branch", "-q", "-D", "two")
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		// Whose grant is for something else.
		{"lies about a commit of another's, to have it come later", func(p *press) oid.ID {
			p.agent()
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			first := p.head("first")
			p.sealed("coder", "src/a=2")
			p.on("main")
			id := p.gone("work")
			p.claims("mallory", "refs/heads/agent/x", provenance.Claim{Commit: git.Commit{ID: first, Tree: p.tree(), Parents: []oid.ID{id}}, Changes: [][]prov.Change{{}}})
			return id
		}, verdict.Derived},
		{"lies about a forge's update of a branch that is gone, to have the work on it come after its revert", func(p *press) oid.ID {
			p.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch })
			p.grant("alice", "helper", func(g *capability.Grant) {
				g.Action, g.Scope = capability.Vouch, scope(p.t, `{"version":1,"paths":["docs/**"]}`)
			})
			was, evil := p.git("rev-parse", "HEAD:src/a"), p.gitIn("evil\n", "hash-object", "-w", "--stdin")
			doc := p.git("rev-parse", "HEAD:docs/d")
			update := p.never(0)
			p.claims("coder", "refs/heads/main", provenance.Claim{
				Commit:  git.Commit{ID: p.never(1), Tree: p.tree(), Parents: []oid.ID{update}},
				Changes: [][]prov.Change{{claim("src/a", was, evil)}},
			})
			if r := p.verdict(p.put("src/a=evil"), "HEAD"); r.Verdict != verdict.Derived {
				p.t.Fatalf("the squash itself: %s", codes(r))
			}
			back := p.revert("alice", "HEAD")
			p.claims("helper", "refs/heads/main", provenance.Claim{
				Commit:  git.Commit{ID: update, Tree: p.tree(), Parents: []oid.ID{back}},
				Changes: [][]prov.Change{{claim("docs/d", doc, evil)}},
			})
			return p.put("src/a=evil")
		}, verdict.Unsealed},
		{"seals ways past a stacked squash", func(p *press) oid.ID {
			p.agent()
			p.branch("one", "main")
			p.sealed("coder", "src/a=1")
			p.branch("two", "HEAD")
			p.sealed("alice", "src/a=2")
			p.on("main")
			p.squash("one")
			id := p.takes("two", "src/a")
			p.branch("agent/x", "ground")
			p.sealedOn("mallory", "refs/heads/agent/x", "src/a=2")
			p.sealedOn("mallory", "refs/heads/agent/x", "src/a=1")
			p.on("main")
			return id
		}, verdict.Derived},
		{"seals a commit in the middle of what went back and forth", func(p *press) oid.ID {
			p.agent()
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.sealed("coder", "src/a=2")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			p.git("cherry-pick", "main..work")
			id := p.head("picked")
			p.git("switch", "-q", "--detach", "HEAD~1")
			p.lies("mallory")
			p.on("main")
			return id
		}, verdict.Unsealed},
	})
}

// A seal whose grant ends while another's draft covers the commit: who remembers it says the same as who looks.
func TestDerivedRemembered(t *testing.T) {
	p := newPress(t)
	p.grant("alice", "mallory", func(g *capability.Grant) { g.Expires = envelope.Timestamp(p.clock.Add(time.Hour)) })
	p.branch("work", "HEAD")
	p.sealed("coder", "src/a=1")
	p.on("main")
	p.sealed("helper", "docs/d=5")
	id := p.sealed("mallory", "src/a=1")
	for _, want := range []verdict.Verdict{verdict.Sealed, verdict.Derived} {
		for _, remember := range []bool{true, true, false} {
			if r := p.look(id, "main", remember); r.Verdict != want {
				t.Errorf("remembered %t: %s %v, want %s", remember, r.Verdict, r.Findings, want)
			}
		}
		p.clock = p.clock.Add(5 * time.Hour)
	}
}

// Who flips something hundreds of times is not followed for ever, and brings nothing by it.
func TestDerivedFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("many seals")
	}
	for _, n := range []int{400, 1200} { // below, and past, what is looked at
		p := newPress(t)
		p.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch })
		off, on := p.gitIn("ground\n", "hash-object", "-w", "--stdin"), p.gitIn("evil\n", "hash-object", "-w", "--stdin")
		var list []provenance.Claim
		at := p.head("base")
		for i := range n {
			c := git.Commit{ID: p.never(i), Tree: p.tree(), Parents: []oid.ID{at}}
			change := claim("src/a", off, on)
			if i%2 == 1 {
				change = claim("src/a", on, off)
			}
			list, at = append(list, provenance.Claim{Commit: c, Changes: [][]prov.Change{{change}}}), c.ID
		}
		p.claims("coder", "refs/heads/main", list...)
		if r := p.verdict(p.put("src/a=evil"), "HEAD"); r.Verdict != verdict.Unsealed {
			t.Errorf("%d flips that end with off: %s", n, r.Verdict)
		}
	}
}
