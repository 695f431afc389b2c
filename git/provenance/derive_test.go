package provenance_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What a button makes of sealed work is derived, and what was undone, left out, chosen or never allowed is not.
func TestDerived(t *testing.T) {
	if testing.Short() {
		t.Skip("many repositories")
	}
	const derived, unsealed, invalid = verdict.Derived, verdict.Unsealed, verdict.Invalid
	for _, c := range []struct {
		name string
		make func(p *press) oid.ID // the commit in question
		want verdict.Verdict
		code verdict.Code // among findings, or warnings where it is derived; "" any
	}{
		{"a squash", func(p *press) oid.ID { return p.squashed("src/a=1", "src/a=2", "src/n=1") }, derived, ""},
		{"a squash of two people", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.sealed("helper", "docs/d=1")
			p.on("main")
			return p.squash("work")
		}, derived, ""},
		{"a deletion and an addition", func(p *press) oid.ID { return p.squashed("src/b=", "src/c=1") }, derived, ""},
		{"a squash and a change slipped in", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.git("merge", "-q", "--squash", "work")
			return p.put("src/evil=1")
		}, unsealed, verdict.DerivedUncovered},
		{"a path nobody may", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.put("docs/x=1")
			p.lies("coder")
			p.on("main")
			return p.squash("work")
		}, unsealed, ""},
		{"the same again after a revert", func(p *press) oid.ID {
			p.squashed("src/a=1")
			p.revert("alice", "HEAD")
			return p.put("src/a=1")
		}, unsealed, verdict.SealMissing},
		{"a discarded draft's twin after a revert", func(p *press) oid.ID {
			p.branch("draft", "HEAD")
			p.sealed("coder", "src/a=1")
			p.branch("work", "main")
			p.sealed("coder", "src/a=1", "src/n=1")
			p.on("main")
			p.squash("work")
			p.revert("alice", "HEAD")
			return p.put("src/a=1")
		}, unsealed, verdict.SealMissing},
		{"a draft on the way after a revert", func(p *press) oid.ID {
			p.squashed("src/a=1", "src/a=2")
			p.revert("alice", "HEAD")
			return p.put("src/a=1")
		}, unsealed, verdict.SealMissing},
		{"a draft on the way of a squash that somebody sealed", func(p *press) oid.ID {
			p.squashed("src/a=1", "src/a=2")
			p.seal("alice", prov.Witness, "HEAD")
			p.revert("alice", "HEAD")
			return p.put("src/a=1")
		}, unsealed, verdict.SealMissing},
		{"the end of it, from a draft that somebody sealed again", func(p *press) oid.ID {
			p.squashed("src/a=1", "src/a=2")
			p.revert("alice", "HEAD")
			p.sealed("coder", "src/a=1")
			return p.put("src/a=2")
		}, unsealed, verdict.SealMissing},
		{"a removed file put back", func(p *press) oid.ID {
			p.squashed("src/n=1", "src/n=2")
			p.sealed("coder", "src/n=")
			return p.put("src/n=2")
		}, unsealed, verdict.SealMissing},
		{"a removed file put back as a draft", func(p *press) oid.ID {
			p.squashed("src/n=1", "src/n=2")
			p.sealed("coder", "src/n=")
			return p.put("src/n=1")
		}, unsealed, verdict.SealMissing},
		{"a deletion again", func(p *press) oid.ID {
			p.squashed("src/b=")
			p.sealed("alice", "src/b=ground")
			return p.put("src/b=")
		}, unsealed, verdict.SealMissing},
		{"a revert by a button", func(p *press) oid.ID {
			p.squashed("src/a=1")
			return p.squashed("src/a=ground")
		}, derived, ""},
		{"a revert by a button, twice", func(p *press) oid.ID {
			p.squashed("src/a=1")
			p.squashed("src/a=ground")
			p.sealed("alice", "src/a=1")
			return p.put("src/a=ground")
		}, unsealed, verdict.SealMissing},
		{"undone by who may not, brought by a seal that can't speak for it", func(p *press) oid.ID {
			p.squashed("src/a=1")
			p.revert("alice", "HEAD")
			id := p.put("src/a=1")
			p.lies("helper")
			return id
		}, invalid, verdict.SealAuthority},
		{"a seal by who may not on an honest squash", func(p *press) oid.ID {
			id := p.squashed("src/a=1")
			p.lies("helper")
			return id
		}, derived, verdict.SealRefused},
		{"a note of junk on an honest squash", func(p *press) oid.ID {
			id := p.squashed("src/a=1")
			p.git("notes", "--ref=covenant", "append", "-m", "{junk}", id.String())
			return id
		}, derived, ""},
		{"a seal by an unknown key on an honest squash", func(p *press) oid.ID {
			id := p.squashed("src/a=1")
			line := p.git("notes", "--ref=covenant", "show", p.git("rev-parse", "ground"))
			p.git("notes", "--ref=covenant", "append", "-m", line, id.String())
			return id
		}, derived, ""},
		{"a mode", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/t=1")
			p.on("main")
			p.git("merge", "-q", "--squash", "work")
			p.git("update-index", "--chmod=+x", "src/t")
			return p.made("x")
		}, unsealed, verdict.SealMissing},
		{"a part", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=gate", "src/b=check")
			p.on("main")
			p.git("checkout", "-q", "work", "--", "src/a")
			return p.made("part")
		}, derived, verdict.DerivedPartial},
		{"what was undone on the branch is no part left out", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1", "src/b=1")
			p.sealed("coder", "src/b=ground")
			p.on("main")
			return p.squash("work")
		}, derived, "none"},
		{"a cherry-pick", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.sealed("coder", "src/b=1")
			p.on("main")
			p.git("cherry-pick", "work")
			return p.head("picked")
		}, derived, "none"},
		{"to a release, of what main has", func(p *press) oid.ID {
			p.branch("release", "HEAD")
			p.sealed("alice", "VERSION=1")
			p.on("main")
			p.sealed("coder", "src/a=1")
			p.on("release")
			p.git("cherry-pick", "main")
			return p.head("picked")
		}, derived, ""},
		{"a merge by a button", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			return p.merge("work")
		}, derived, ""},
		{"a merge of a squashed and reverted branch", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.squash("work")
			p.revert("alice", "HEAD")
			p.sealed("helper", "docs/d=1")
			return p.merge("work")
		}, unsealed, verdict.SealMissing},
		{"the same, the branch first", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.squash("work")
			p.revert("alice", "HEAD")
			p.sealed("helper", "docs/d=1")
			p.on("work")
			return p.merge("main")
		}, unsealed, ""},
		{"a merge that drops main's fix, the branch first", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/b=1")
			p.on("main")
			p.sealed("coder", "src/a=fix")
			p.on("work")
			return p.merge("-s", "ours", "main")
		}, unsealed, ""},
		{"a merge that drops the branch's fix", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=fix")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			return p.merge("-s", "ours", "work")
		}, unsealed, verdict.SealMissing},
		{"what a later seal says of the same change", func(p *press) oid.ID {
			id := p.put("src/a=1")
			p.revert("alice", "HEAD")
			p.sealed("coder", "src/a=1")
			return id
		}, unsealed, verdict.SealMissing},
		{"a merge with something put in", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			p.git("merge", "-q", "--no-ff", "--no-commit", "work")
			return p.put("src/evil=1")
		}, unsealed, verdict.DerivedUncovered},
		{"a merge of an old branch point to bring a draft", func(p *press) oid.ID {
			p.squashed("src/a=1", "src/a=2")
			p.revert("alice", "HEAD")
			p.branch("old", "ground")
			p.put("src/a=1")
			p.on("main")
			return p.merge("old")
		}, unsealed, ""},
		{"a commit a gate refused", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			id := p.squash("work")
			k := p.sealer(p.session(), "helper")
			commits, err := provenance.Commits(k.Session, "HEAD")
			if err != nil {
				p.t.Fatal(err)
			}
			if _, err := k.Seal(context.Background(), prov.Witness, "refs/heads/main", commits); err == nil {
				p.t.Fatal("it was let through")
			}
			return id
		}, invalid, verdict.SealBypassed},
		// What an attack got through with an earlier rule.
		{"older work that governance never judged comes first in a merge", func(p *press) oid.ID {
			p.agent()
			p.branch("old", "ground~1") // older than governance
			p.git("reset", "-q", "--soft", "HEAD")
			p.write("src/a", "backdoor\n")
			p.git("add", ".")
			p.made("old work")
			p.on("main")
			p.sealed("coder", "src/b=1")
			p.branch("agent/x", "ground")
			p.sealedOn("mallory", "refs/heads/agent/x", "src/a=backdoor")
			p.on("old")
			return p.merge("-X", "ours", "main")
		}, unsealed, ""},
		{"a branch that was taken back, first in a merge, with another's edge", func(p *press) oid.ID {
			p.agent()
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=w")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			p.git("cherry-pick", "work~1", "work")
			p.git("checkout", "-q", "HEAD~2", "--", "src/a")
			p.made("revert both")
			p.seal("alice", prov.Witness, "HEAD")
			p.branch("agent/x", "ground")
			p.sealedOn("mallory", "refs/heads/agent/x", "src/a=1")
			p.on("work")
			return p.merge("main")
		}, unsealed, ""},
		{"a draft that its signer took back on the branch", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil")
			p.sealed("coder", "src/b=1")
			p.sealed("coder", "src/a=ground")
			p.on("main")
			p.squash("work")
			return p.put("src/a=evil")
		}, unsealed, verdict.SealMissing},
		{"a squash of what went in a circle", func(p *press) oid.ID { return p.squashed("src/a=evil", "src/a=ground", "src/a=2") }, derived, ""},
		{"the same, taken back by another", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=evil")
			p.sealed("alice", "src/a=ground")
			p.sealed("coder", "src/a=2")
			p.on("main")
			id := p.squash("work")
			p.revert("alice", "HEAD")
			return id
		}, derived, ""},
		{"a draft that went in a circle, after a revert", func(p *press) oid.ID {
			p.squashed("src/a=evil", "src/a=ground", "src/a=2")
			p.revert("alice", "HEAD")
			return p.put("src/a=evil")
		}, unsealed, verdict.SealMissing},
		{"a thrown away draft of what came in two steps and was reverted", func(p *press) oid.ID {
			p.branch("draft", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("coder", "src/a=w")
			p.sealed("coder", "src/a=1")
			p.git("checkout", "-q", "HEAD~2", "--", "src/a")
			p.made("revert both")
			p.seal("alice", prov.Witness, "HEAD")
			return p.put("src/a=1")
		}, unsealed, verdict.SealMissing},
		{"through nothing in two commits", func(p *press) oid.ID {
			p.squashed("src/a=", "src/a=evil")
			p.seal("alice", prov.Witness, "HEAD")
			p.revert("alice", "HEAD")
			p.put("src/a=")
			return p.put("src/a=evil")
		}, unsealed, verdict.SealMissing},
		{"more bytes than the grant allows", func(p *press) oid.ID {
			wide := p.grant("alice", "mallory", nil)
			p.branch("work", "HEAD")
			p.sealed("mallory", "src/n="+strings.Repeat("x", 5000))
			p.now()
			p.revoke("alice", wide)
			p.grant("alice", "mallory", func(g *capability.Grant) { g.Scope = scope(p.t, `{"version":1,"max_bytes":10}`) })
			p.on("main")
			return p.squash("work")
		}, unsealed, ""},
		{"a part, its rest taken back elsewhere", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=gate", "src/b=check")
			p.branch("elsewhere", "main")
			p.sealed("coder", "src/b=check")
			p.sealed("coder", "src/b=ground")
			p.on("main")
			p.git("checkout", "-q", "work", "--", "src/a")
			return p.made("part")
		}, derived, verdict.DerivedPartial},
		{"a part, its rest taken back by another, with more", func(p *press) oid.ID {
			p.agent()
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=gate", "src/b=check")
			p.sealed("alice", "src/b=ground", "src/n=harmless")
			p.on("main")
			p.git("checkout", "-q", "work", "--", "src/a", "src/n")
			return p.made("part")
		}, derived, verdict.DerivedPartial},
		{"what a gate refused, squashed", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.put("docs/d=1")
			k := p.sealer(p.session(), "coder")
			commits, err := provenance.Commits(k.Session, "HEAD")
			if err != nil {
				p.t.Fatal(err)
			}
			if _, err := k.Seal(context.Background(), prov.Witness, "refs/heads/main", commits); err == nil {
				p.t.Fatal("it was let through")
			}
			p.now()
			p.grant("alice", "coder", nil)
			p.now()
			p.seal("coder", prov.Witness, "HEAD")
			p.on("main")
			return p.squash("work")
		}, unsealed, verdict.SealMissing},
		{"a draft of an expired grant, brought now", func(p *press) oid.ID {
			p.grant("alice", "mallory", func(g *capability.Grant) { g.Expires = envelope.Timestamp(p.clock.Add(time.Hour)) })
			p.branch("work", "HEAD")
			p.sealed("mallory", "src/a=draft")
			p.looks("alice")
			p.clock = p.clock.Add(2 * time.Hour)
			p.on("main")
			p.sealed("helper", "docs/d=1")
			return p.put("src/a=draft")
		}, unsealed, verdict.SealMissing},
		{"the same, brought in time and built on", func(p *press) oid.ID {
			p.grant("alice", "mallory", func(g *capability.Grant) { g.Expires = envelope.Timestamp(p.clock.Add(time.Hour)) })
			p.branch("work", "HEAD")
			p.sealed("mallory", "src/a=draft")
			p.on("main")
			id := p.squash("work")
			p.sealed("alice", "docs/d=2")
			p.clock = p.clock.Add(2 * time.Hour)
			return id
		}, derived, ""},
		// What it must not refuse.
		{"a revert of a revert, on a fresh branch", func(p *press) oid.ID {
			p.squashed("src/a=1")
			p.revert("alice", "HEAD")
			return p.squashed("src/a=1")
		}, derived, ""},
		{"on and off and on and off", func(p *press) oid.ID {
			p.squashed("src/a=on")
			p.squashed("src/a=ground")
			p.squashed("src/a=on")
			return p.squashed("src/a=ground")
		}, derived, ""},
		{"its first on, seen from later", func(p *press) oid.ID {
			id := p.squashed("src/a=on")
			p.squashed("src/a=ground")
			p.squashed("src/a=on")
			return id
		}, derived, ""},
		{"who may not seals ways back and forth: it spends nobody's work", func(p *press) oid.ID {
			p.agent()
			p.sealed("coder", "src/a=v1")
			p.sealed("coder", "src/a=v2")
			id := p.squashed("src/a=v3")
			p.branch("agent/x", "HEAD")
			p.sealedOn("mallory", "refs/heads/agent/x", "src/a=v1")
			p.branch("agent/y", "ground")
			p.sealedOn("mallory", "refs/heads/agent/y", "src/a=v2")
			p.on("main")
			return id
		}, derived, ""},
		{"a deletion of a file that came by a button", func(p *press) oid.ID {
			p.squashed("src/n=1")
			return p.squashed("src/n=")
		}, derived, ""},
		{"a merge by a button, where main's part is sealed by a merge", func(p *press) oid.ID {
			p.branch("topic", "HEAD")
			p.sealed("coder", "src/t=1")
			p.branch("work", "main")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			p.merge("topic")
			p.seal("alice", prov.Witness, "HEAD")
			return p.merge("work")
		}, derived, ""},
		{"a squash of a branch that took main in by a sealed merge", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.sealed("helper", "docs/d=1")
			p.on("work")
			p.merge("main")
			p.seal("alice", prov.Witness, "HEAD")
			p.sealed("coder", "src/a=2")
			p.on("main")
			return p.squash("work")
		}, derived, ""},
		{"a merge of what was squashed already", func(p *press) oid.ID {
			p.branch("work", "HEAD")
			p.sealed("coder", "src/a=1")
			p.on("main")
			p.squash("work")
			return p.merge("work")
		}, derived, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPress(t)
			id := c.make(p)
			rev := "HEAD"
			for range 2 { // all of the history, and a range
				r := p.verdict(id, rev)
				all := append(slices.Clone(r.Findings), r.Warnings...)
				if r.Verdict != c.want || c.code == "none" && len(all) > 0 || c.code != "" && c.code != "none" && !has(all, c.code) {
					t.Errorf("%s: %s %v %v, want %s %s", rev, r.Verdict, r.Findings, r.Warnings, c.want, c.code)
				}
				rev = id.String() + "^1.." + id.String()
			}
		})
	}
}
