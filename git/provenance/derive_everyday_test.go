package provenance_test

import (
	"context"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What people do every day with buttons, and what is not refused for it.
func TestDerivedEveryDay(t *testing.T) {
	if testing.Short() {
		t.Skip("many repositories")
	}
	rows(t, []row{
		{"a branch updated by a button, seen by itself", func(p *press) oid.ID {
			p.sealed("alice", "src/a=1")
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			p.on("main")
			p.sealed("alice", "src/a=2")
			p.sealed("alice", "src/a=3")
			p.on("work")
			id := p.merge("main")
			p.ranges = append(p.ranges, "main..work")
			return id
		}, verdict.Derived},
		{"main's work taken back in a branch that a button updated", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			p.on("main")
			p.sealed("alice", "src/a=1")
			p.on("work")
			p.merge("main")
			p.sealed("coder", "src/a=ground")
			p.on("main")
			return p.gone("work")
		}, verdict.Unsealed},
		{"the same, in one that a forge rebased", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			p.on("main")
			p.sealed("alice", "src/a=1")
			p.on("work")
			p.git("rebase", "-q", "main")
			p.sealed("coder", "src/a=ground")
			p.on("main")
			return p.gone("work")
		}, verdict.Unsealed},
		{"a revert of one's own backport says nothing of main", func(p *press) oid.ID {
			p.branch("release", "HEAD")
			p.on("main")
			id := p.squashed("src/a=1")
			p.on("release")
			p.sealed("coder", "src/a=1", "src/r=1")
			p.revert("coder", "HEAD")
			p.on("main")
			return id
		}, verdict.Derived},
		{"two agents on one branch, of whom the second turns something on again", func(p *press) oid.ID {
			p.everywhere()
			p.squashed("src/a=on")
			p.squashed("src/a=ground")
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			p.sealed("mallory", "src/a=on")
			p.on("main")
			return p.gone("work")
		}, verdict.Derived},
		{"a rebase by a forge, of a branch where one takes back what another did", func(p *press) oid.ID {
			p.everywhere()
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.sealed("mallory", "src/a=2")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			p.git("cherry-pick", "main..work")
			return p.head("picked")
		}, verdict.Derived},
		{"an older fix picked to a release", func(p *press) oid.ID {
			p.branch("release", "HEAD")
			p.sealed("alice", "VERSION=1")
			p.on("main")
			p.sealed("coder", "src/a=1")
			fix := p.head("fix")
			p.sealed("coder", "src/a=2")
			p.on("release")
			p.git("cherry-pick", fix.String())
			p.ranges = append(p.ranges, "main..release")
			return p.head("picked")
		}, verdict.Derived},
		{"stacked branches", func(p *press) oid.ID {
			p.branch("one", "HEAD")
			p.sealed("coder", "src/a=1")
			p.branch("two", "HEAD")
			p.sealed("coder", "src/b=2")
			p.sealed("coder", "src/a=2")
			p.on("main")
			p.squash("one")
			return p.takes("two", "src/a", "src/b")
		}, verdict.Derived},
		{"a long branch, squashed twice", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.sealed("coder", "src/a=2")
			p.sealed("coder", "src/a=3")
			p.on("main")
			p.squash("work")
			p.on("work")
			p.sealed("coder", "src/a=2")
			p.on("main")
			return p.takes("work", "src/a")
		}, verdict.Derived},
		{"on and off, picked to a release", func(p *press) oid.ID {
			p.branch("release", "HEAD")
			p.on("main")
			p.sealed("coder", "src/a=on")
			p.sealed("alice", "src/a=ground")
			p.on("release")
			p.sealed("alice", "VERSION=1")
			p.git("cherry-pick", "ground..main")
			return p.head("picked")
		}, verdict.Derived},
		{"the revert of a squash, picked to a release that picked the squash", func(p *press) oid.ID {
			p.branch("release", "HEAD")
			p.sealed("alice", "VERSION=1")
			p.on("main")
			feature := p.squashed("src/a=1")
			revert := p.revert("alice", "HEAD")
			p.on("release")
			p.git("cherry-pick", feature.String(), revert.String())
			return p.head("picked")
		}, verdict.Unsealed},
		{"reverts of reverts, by two agents in turn", func(p *press) oid.ID {
			p.everywhere()
			p.squashed("src/a=1")
			p.squashedBy("mallory", "src/a=ground")
			p.squashed("src/a=1")
			p.squashedBy("mallory", "src/a=ground")
			return p.squashed("src/a=1")
		}, verdict.Derived},
		{"something tried on the old branch after somebody built on its squash", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			id := p.squash("work")
			p.sealed("alice", "docs/d=2")
			p.on("work")
			p.sealed("coder", "src/a=ground")
			p.on("main")
			return id
		}, verdict.Derived},
		{"a merge by a button after main changed the file again that the branch had taken in", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			p.on("main")
			p.sealed("coder", "src/a=2")
			p.on("work")
			p.merge("main")
			p.on("main")
			p.sealed("coder", "src/a=3")
			return p.merge("work")
		}, verdict.Derived},
		{"a merge by a button after an older branch was merged", func(p *press) oid.ID {
			p.branch("old", "HEAD")
			p.sealed("coder", "src/g=1")
			p.on("main")
			p.sealed("coder", "src/a=2")
			p.branch("work", "main")
			p.sealed("coder", "src/a=3")
			p.on("main")
			p.merge("old")
			return p.merge("work")
		}, verdict.Derived},
		{"a revert that was open while an older branch was merged", func(p *press) oid.ID {
			p.branch("old", "HEAD")
			p.sealed("coder", "src/g=1")
			p.on("main")
			p.sealed("coder", "src/a=2")
			p.branch("work", "main")
			p.sealed("alice", "src/a=ground")
			p.on("main")
			p.merge("old")
			return p.gone("work")
		}, verdict.Derived},
		{"a release merged forward twice", func(p *press) oid.ID {
			p.branch("release", "HEAD")
			p.sealed("coder", "src/a=1")
			p.sealed("coder", "src/a=2")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			p.merge("release")
			p.on("release")
			p.sealed("coder", "src/a=3")
			p.on("main")
			p.sealed("helper", "docs/d=2")
			return p.merge("release")
		}, verdict.Derived},
		{"a branch updated twice by a button, and squashed", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			p.on("main")
			p.sealed("coder", "src/a=2")
			p.on("work")
			p.merge("main")
			p.sealed("coder", "src/a=3")
			p.on("main")
			p.sealed("coder", "src/c=3")
			p.on("work")
			p.merge("main")
			p.sealed("coder", "src/a=4")
			p.on("main")
			return p.gone("work")
		}, verdict.Derived},
	})
}

// A branch that took main in by a sealed merge, where it had to decide something, is squashed whole: the sides it took are nobody's change,
// so nothing of them is left out.
func TestDerivedAfterConflict(t *testing.T) {
	p := newPress(t)
	p.branch("work", "HEAD")
	p.sealed("coder", "src/a=1")
	p.sealed("coder", "src/b=1")
	p.on("main")
	p.sealed("alice", "src/b=main")
	p.sealed("helper", "docs/d=1")
	p.on("work")
	p.git("merge", "-q", "--no-ff", "--no-commit", "-X", "ours", "main")
	p.write("src/b", "both\n")
	p.git("add", ".")
	p.made("merge main, conflict resolved")
	p.seal("alice", prov.Witness, "HEAD")
	p.on("main")
	id := p.squash("work")
	if r := p.verdict(id, "HEAD"); r.Verdict != verdict.Derived || has(r.Warnings, verdict.DerivedPartial) {
		t.Errorf("%s %+v", codes(r), r.Warnings)
	}
}

// What a seal lists and the commit has at that path anyway was not left out, though no way to it was taken; what it lacks was.
func TestDerivedHasItAnyway(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(p *press) oid.ID
		part bool
	}{
		{"a file of one agent, moved by another, in a squash", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/deep/down/n=1")
			p.sealed("mallory", "src/deep/down/n=", "src/o=1")
			p.on("main")
			return p.gone("work")
		}, false},
		{"a file on the way, deleted with another's change", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/draft=1")
			p.sealed("mallory", "src/draft=", "src/a=1")
			p.on("main")
			return p.gone("work")
		}, false},
		{"what main has by somebody else", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1", "src/b=1")
			p.on("main")
			p.sealed("alice", "src/b=1")
			return p.takes("work", "src/a")
		}, false},
		{"a deletion that was not taken", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1", "src/b=")
			p.on("main")
			return p.takes("work", "src/a")
		}, true},
		{"a folder that is a file on main", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1", "src/d/x=1")
			p.on("main")
			p.sealed("alice", "src/d=file")
			return p.takes("work", "src/a")
		}, true},
		{"the content, with another mode", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1", "src/b=1")
			p.on("main")
			p.write("src/b", "1\n")
			p.git("add", ".")
			p.git("update-index", "--chmod=+x", "src/b")
			p.staged("alice")
			return p.takes("work", "src/a")
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPress(t)
			p.everywhere()
			id := c.make(p)
			if r := p.verdict(id, "HEAD"); r.Verdict != verdict.Derived || has(r.Warnings, verdict.DerivedPartial) != c.part {
				t.Errorf("%s, a part is told to be left out: %v", codes(r), r.Warnings)
			}
		})
	}
}

// Who names other parents than a commit has, where that is here, is not believed: neither that somebody went on from what was squashed and took it
// back, nor that a part was left out on purpose.
func TestDerivedLiesAboutParents(t *testing.T) {
	for _, lie := range []bool{false, true} {
		p := newPress(t)
		p.agent()
		p.branch("other", "HEAD") // tried, and thrown away
		p.sealed("coder", "src/a=7")
		back := p.sealed("coder", "src/a=ground")
		p.branch("work", "main")
		first := p.sealed("coder", "src/a=1")
		p.on("main")
		id := p.gone("work")
		if lie {
			p.says("mallory", "refs/heads/agent/x", back, first)
		}
		if r := p.verdict(id, "HEAD"); r.Verdict != verdict.Derived {
			t.Errorf("with a lie: %v: %s", lie, codes(r))
		}

		p = newPress(t)
		p.agent()
		p.branch("work", "HEAD")
		both := p.sealed("coder", "src/a=gate", "src/b=check")
		p.branch("elsewhere", "main")
		p.sealed("coder", "src/b=check")
		back = p.sealed("coder", "src/b=ground")
		p.on("main")
		p.git("checkout", "-q", "work", "--", "src/a")
		id = p.made("part")
		if lie {
			p.says("mallory", "refs/heads/agent/x", back, both)
		}
		if r := p.verdict(id, "HEAD"); r.Verdict != verdict.Derived || !has(r.Warnings, verdict.DerivedPartial) {
			t.Errorf("with a lie: %v: %s, and nothing is said of a part: %+v", lie, codes(r), r.Warnings)
		}
	}
}

// Whose grant was revoked can't hide any more that a part of its work was left out: when it says to have taken that back is its own word.
func TestDerivedPartHiddenLater(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(p *press, grant generous)
		want bool
	}{
		{"nothing was taken back", func(*press, generous) {}, true},
		{"taken back while it might", func(p *press, _ generous) { p.sealed("coder", "src/b=ground") }, false},
		{"taken back, seen, and then revoked", func(p *press, grant generous) {
			p.sealed("coder", "src/b=ground")
			p.clock = p.clock.Add(time.Hour)
			p.looks("alice")
			p.clock = p.clock.Add(time.Hour)
			p.revoke("alice", grant[0])
		}, false},
		{"revoked, and then taken back under an older date", func(p *press, grant generous) {
			before := p.clock
			p.clock = p.clock.Add(time.Hour)
			p.revoke("alice", grant[0])
			p.clock = before
			p.put("src/b=ground")
			k := p.sealer(p.session(), "coder")
			k.Asker = grant
			commits, err := provenance.Commits(k.Session, "HEAD")
			if err == nil {
				_, err = k.Seal(context.Background(), prov.Witness, "refs/heads/main", commits)
			}
			if err != nil {
				p.t.Fatal(err)
			}
			p.clock = before.Add(2 * time.Hour)
			p.looks("alice")
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPress(t)
			grant := p.held("coder")
			p.policy(`{"version":1,"coverage":["own","blob","partial"],"protected":["refs/heads/main"]}`)
			p.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch }) // so that it stays known
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=gate", "src/b=check")
			p.on("main")
			id := p.takes("work", "src/a")
			p.clock = p.clock.Add(time.Hour)
			p.sealed("alice", "docs/e=1")
			p.admit("alice", "refs/heads/main", p.oid("ground"), p.head("on top"))
			p.on("work")
			c.then(p, grant)
			p.on("main")
			r := p.verdict(id, "HEAD")
			if r.Verdict != verdict.Derived || has(r.Warnings, verdict.DerivedPartial) != c.want {
				t.Errorf("%s, a part is told to be left out: %v", codes(r), r.Warnings)
			}
		})
	}
}
