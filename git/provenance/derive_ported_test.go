package provenance_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// doc is a change of src/a: twenty lines, of which some are others: "5=x" in the place of the fifth, "5+x" after it, "5-" none.
func doc(edits ...string) string {
	var out []string
	for i := 1; i <= 20; i++ {
		line := fmt.Sprintf("line %d", i)
		after := ""
		for _, e := range edits {
			switch {
			case strings.HasPrefix(e, fmt.Sprintf("%d=", i)):
				_, line, _ = strings.Cut(e, "=")
			case strings.HasPrefix(e, fmt.Sprintf("%d+", i)):
				_, text, _ := strings.Cut(e, "+")
				after += "\n" + text
			case e == fmt.Sprintf("%d-", i):
				line = ""
			}
		}
		if line == "" {
			line = strings.TrimPrefix(after, "\n")
			after = ""
			if line == "" {
				continue
			}
		}
		out = append(out, line+after)
	}
	return "src/a=" + strings.Join(out, "\n")
}

// moved is a branch of coder's on top of doc(), while main changed the same file; HEAD is main.
func (p *press) moved(work ...string) {
	p.t.Helper()
	p.sealed("alice", doc())
	p.branch("work", "HEAD")
	for _, w := range work {
		p.sealed("coder", w)
	}
	p.on("main")
	p.sealed("alice", doc("2=main"))
}

// returned is moved, and a squash of the branch that alice took back.
func (p *press) returned(work ...string) {
	p.t.Helper()
	p.moved(work...)
	p.squash("work")
	p.revert("alice", "HEAD")
}

// binary commits content with a NUL, sealed by somebody, or by nobody.
func (p *press) binary(who, content string) oid.ID {
	p.t.Helper()
	p.write("src/a", content+"\n\x00\n")
	p.git("add", "src/a")
	id := p.made("binary")
	if who != "" {
		p.seal(who, prov.Witness, "HEAD")
	}
	return id
}

// Sealed changes that were applied to content that had changed meanwhile are known for what they are, and for nothing else.
func TestDerivedPorted(t *testing.T) {
	if testing.Short() {
		t.Skip("many repositories")
	}
	rows(t, []row{
		{"a squash onto a file that main changed", func(p *press) oid.ID {
			p.moved(doc("10=x"), doc("10=y", "15+z"))
			return p.gone("work")
		}, verdict.Derived},
		{"the same, where nothing is left of the branch", func(p *press) oid.ID {
			p.moved(doc("10=x"), doc("10=y", "15+z"))
			id := p.gone("work")
			p.git("reflog", "expire", "--expire=now", "--all")
			p.git("gc", "-q", "--prune=now")
			return id
		}, verdict.Derived},
		{"the second commit of a branch that a forge rebased, where nothing is left of it", func(p *press) oid.ID {
			p.ranges = append(p.ranges, "HEAD~2..HEAD")
			return p.rebased()
		}, verdict.Derived},
		{"the second commit of such a branch, of the same line", func(p *press) oid.ID { return p.rebasedOf(doc("10=x"), doc("10=y")) }, verdict.Derived},
		{"the second, of the next line", func(p *press) oid.ID { return p.rebasedOf(doc("10=x"), doc("10=x", "11=y")) }, verdict.Derived},
		{"the second, after both were taken back", func(p *press) oid.ID {
			p.returned(doc("10=x"), doc("10=y"))
			p.git("cherry-pick", "work~1")
			p.git("cherry-pick", "work")
			return p.head("picked")
		}, verdict.Unsealed},
		{"what the signer saw squashed, and not taken back", func(p *press) oid.ID {
			p.sealed("alice", doc())
			p.branch("work", "HEAD")
			p.sealed("coder", doc("10=x"))
			p.on("main")
			p.squash("work")
			p.branch("again", "HEAD")
			p.sealed("coder", doc("10=x2", "15=t"))
			p.sealed("coder", doc("10=x", "15=t"))
			p.on("main")
			p.sealed("alice", doc("9=safe", "10=x2"))
			p.sealed("alice", doc("10=x2", "3=n"))
			return p.put(doc("10=x", "3=n"))
		}, verdict.Unsealed},
		{"a pick of one commit", func(p *press) oid.ID {
			p.moved(doc("10=x"), doc("10=x", "15+z"))
			p.git("cherry-pick", "work~1")
			return p.head("picked")
		}, verdict.Derived},
		{"the second of two squashes onto the same file", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			p.branch("other", "work~1")
			p.sealed("coder", doc("18=other"))
			p.on("main")
			p.squash("work")
			return p.gone("other")
		}, verdict.Derived},
		{"a merge where both sides changed the file", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			return p.merge("work")
		}, verdict.Derived},
		{"the branch first", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			p.on("work")
			id := p.merge("main")
			p.ranges = append(p.ranges, "main..work")
			return id
		}, verdict.Derived},
		{"a line slipped in with the button", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			return p.put(doc("2=main", "10=x", "20+evil"))
		}, verdict.Unsealed},
		{"a part of the hunks", func(p *press) oid.ID {
			p.moved(doc("5=gate", "15=check"))
			return p.put(doc("2=main", "5=gate"))
		}, verdict.Unsealed},
		{"with other white space", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			return p.put(doc("2=main", "10=  x"))
		}, verdict.Unsealed},
		{"in another place", func(p *press) oid.ID {
			p.sealed("alice", doc("4=same", "5=same", "14=same", "15=same"))
			p.branch("work", "HEAD")
			p.sealed("coder", doc("4=same", "4+x", "5=same", "14=same", "15=same"))
			p.on("main")
			p.sealed("alice", doc("2=main", "4=same", "5=same", "14=same", "15=same"))
			return p.put(doc("2=main", "4=same", "5=same", "14=same", "14+x", "15=same"))
		}, verdict.Unsealed},
		{"with another mode", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			p.git("merge", "-q", "--squash", "work")
			p.git("update-index", "--chmod=+x", "src/a")
			return p.made("x")
		}, verdict.Unsealed},
		{"by who may not", func(p *press) oid.ID {
			p.sealed("alice", doc())
			p.branch("work", "HEAD")
			p.put(doc("10=x"))
			p.lies("helper")
			p.on("main")
			p.sealed("alice", doc("2=main"))
			return p.gone("work")
		}, verdict.Unsealed},
		{"again after a revert", func(p *press) oid.ID {
			p.returned(doc("10=x"))
			return p.gone("work")
		}, verdict.Unsealed},
		{"again after a revert, a squash of it and a draft of it", func(p *press) oid.ID {
			p.returned(doc("10=x"), doc("10=x", "15=y"))
			p.sealed("alice", doc("2=main", "18=more"))
			p.git("cherry-pick", "work~1")
			return p.head("draft")
		}, verdict.Unsealed},
		{"again after it was taken out among other things", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			p.squash("work")
			p.sealed("alice", doc("2=main", "4=other", "10=10", "15-"))
			return p.put(doc("2=main", "4=other", "10=x", "15-"))
		}, verdict.Unsealed},
		{"lines that stand elsewhere, again after a revert", func(p *press) oid.ID {
			p.sealed("alice", doc("4=stop", "6=stop"))
			p.branch("work", "HEAD")
			p.sealed("coder", doc("4=stop", "6=stop", "12+stop"))
			p.on("main")
			p.sealed("alice", doc("2=main", "4=stop", "6=stop"))
			p.squash("work")
			p.revert("alice", "HEAD")
			return p.gone("work")
		}, verdict.Unsealed},
		{"a line taken away, put back, and taken away by the same", func(p *press) oid.ID {
			p.returned(doc("10-"))
			return p.gone("work")
		}, verdict.Unsealed},
		{"made otherwise on top of the revert", func(p *press) oid.ID {
			p.returned(doc("10=x"))
			p.branch("again", "HEAD")
			p.sealed("coder", doc("2=main", "10=y"))
			p.on("main")
			p.sealed("alice", doc("2=main", "18=more"))
			return p.gone("again")
		}, verdict.Derived},
		{"a merge of a branch whose squash was reverted", func(p *press) oid.ID {
			p.returned(doc("10=x"))
			return p.merge("work")
		}, verdict.Unsealed},
		{"a merge, the branch first, after main took its squash back", func(p *press) oid.ID {
			p.returned(doc("10=x"))
			p.on("work")
			id := p.merge("main")
			p.ranges = append(p.ranges, "main..work")
			return id
		}, verdict.Unsealed},
		{"a merge that keeps what the branch took back, and main had picked", func(p *press) oid.ID {
			p.sealed("alice", doc())
			p.branch("work", "HEAD")
			p.sealed("coder", doc("10=bad"))
			p.sealed("coder", doc("18=y"))
			p.on("main")
			p.sealed("alice", doc("2=main"))
			p.git("cherry-pick", "work~1")
			return p.merge("work")
		}, verdict.Unsealed},
		{"a merge of what main has already, and more", func(p *press) oid.ID {
			p.sealed("alice", doc())
			p.branch("work", "HEAD")
			p.sealed("coder", doc("10=x"))
			p.on("main")
			p.sealed("alice", doc("10=x", "2=main"))
			return p.merge("work")
		}, verdict.Derived},
		{"an executable", func(p *press) oid.ID {
			p.executables(false)
			return p.gone("two")
		}, verdict.Derived},
		{"an executable, after another branch's was taken back", func(p *press) oid.ID {
			p.executables(true)
			return p.gone("two")
		}, verdict.Unsealed},
		{"what one who may not any more has sealed as well", func(p *press) oid.ID {
			start := p.clock
			p.grant("alice", "mallory", func(g *capability.Grant) {
				g.Scope, g.Expires = scope(p.t, `{"version":1,"paths":["src/**"]}`), envelope.Timestamp(start.Add(time.Hour))
			})
			p.moved(doc("10=x"))
			p.git("tag", "base")
			id := p.gone("work")
			p.clock = start.Add(30 * time.Minute)
			p.branch("m", "base")
			p.put(doc("2=main", "10=x"))
			p.git("commit", "-q", "--amend", "-m", "mallory's")
			p.lies("mallory")
			p.on("main")
			p.git("branch", "-q", "-D", "m")
			p.clock = start.Add(48 * time.Hour)
			return id
		}, verdict.Derived},
		{"among beginnings of one who has no grant for it", func(p *press) oid.ID {
			p.agent()
			id := p.rebased()
			var list []provenance.Claim
			for i := range 260 {
				list = append(list, provenance.Claim{
					Commit:  git.Commit{ID: p.never(i), Tree: p.tree(), Parents: []oid.ID{p.oid("ground")}},
					Changes: [][]prov.Change{{claim("src/a", fmt.Sprintf("%040x", i+1), fmt.Sprintf("%040x", i+1000))}},
				})
			}
			p.claims("mallory", "refs/heads/agent/x", list...)
			return id
		}, verdict.Derived},
		{"a merge that picks a side where both changed", func(p *press) oid.ID {
			p.moved(doc("10=x"))
			p.git("merge", "-q", "--no-ff", "--no-commit", "work")
			p.git("checkout", "-q", "work", "--", "src/a")
			return p.made("merge")
		}, verdict.Unsealed},
		{"a merge of what nobody sealed", func(p *press) oid.ID {
			p.sealed("alice", doc())
			p.branch("work", "HEAD")
			p.put(doc("10=x"))
			p.on("main")
			p.sealed("alice", doc("2=main"))
			return p.merge("work")
		}, verdict.Unsealed},
		{"a draft that its signer took back", func(p *press) oid.ID {
			p.moved(doc("10=x"), doc())
			p.git("cherry-pick", "work~1")
			return p.head("draft")
		}, verdict.Unsealed},
		{"a revert by hand of what main did, applied by a seal that says it was made on it", func(p *press) oid.ID {
			p.sealed("alice", doc("10=hole"))
			p.sealed("alice", doc())
			p.branch("work", "HEAD")
			p.sealed("alice", doc("2=main"))
			p.on("main")
			p.put(doc("10=hole"))
			return p.gone("work")
		}, verdict.Derived},
		{"a binary file", func(p *press) oid.ID {
			p.binary("alice", "1\n2\n3\n4\n5\n6\n7")
			p.branch("work", "HEAD")
			p.binary("coder", "1\n2\n3\n4\n5\n6\nx")
			p.on("main")
			p.binary("alice", "y\n2\n3\n4\n5\n6\n7")
			return p.binary("", "y\n2\n3\n4\n5\n6\nx")
		}, verdict.Unsealed},
	})
}

// rebased is the second of two commits that a forge rebased onto main; nothing is left of the branch.
func (p *press) rebased() oid.ID { p.t.Helper(); return p.rebasedOf(doc("10=x"), doc("10=x", "15+z")) }

func (p *press) rebasedOf(first, second string) oid.ID {
	p.t.Helper()
	p.moved(first, second)
	p.on("work")
	p.git("rebase", "-q", "main")
	p.on("main")
	p.git("merge", "-q", "--ff-only", "work")
	p.git("branch", "-q", "-D", "work")
	p.git("reflog", "expire", "--expire=now", "--all")
	p.git("gc", "-q", "--prune=now")
	return p.head("rebased")
}

// executables are two branches on which coder made a file executable, beside another change; main changed it since, and took the first one, squashed, back.
func (p *press) executables(back bool) {
	p.t.Helper()
	p.sealed("alice", doc())
	p.git("tag", "base")
	for name, change := range map[string]string{"one": doc("10=x"), "two": doc("15=y")} {
		p.branch(name, "base")
		_, text, _ := strings.Cut(change, "=")
		p.write("src/a", text+"\n")
		p.git("add", "src/a")
		p.git("update-index", "--chmod=+x", "src/a")
		p.made("executable")
		p.seal("coder", prov.Witness, "HEAD")
		p.git("reset", "-q", "--hard")
	}
	p.on("main")
	p.sealed("alice", doc("2=main"))
	if back {
		p.squash("one")
		p.revert("alice", "HEAD")
		p.sealed("alice", doc("2=main", "18=more"))
	}
}

// What is remembered of a commit that lacks content is not believed when that may have come.
func TestDerivedPortedWaits(t *testing.T) {
	p := newPress(t)
	p.moved(doc("10=x"))
	start := p.git("rev-parse", "HEAD~1:src/a")
	id := p.gone("work")
	content := p.git("cat-file", "blob", start)
	if err := os.Remove(filepath.Join(p.dir, ".git", "objects", start[:2], start[2:])); err != nil {
		t.Fatal(err)
	}
	for _, want := range []verdict.Verdict{verdict.Unsealed, verdict.Unsealed, verdict.Derived} {
		if want == verdict.Derived {
			p.gitIn(content+"\n", "hash-object", "-w", "--stdin")
		}
		if r := p.look(id, "HEAD~1..HEAD", true); r.Verdict != want {
			t.Errorf("%s, want %s", r.Verdict, want)
		}
	}
}

// How much of it was moved is said, and what was left out.
func TestDerivedPortedSays(t *testing.T) {
	p := newPress(t)
	p.sealed("alice", doc())
	p.branch("work", "HEAD")
	p.sealed("coder", doc("10=x"), "src/n=1")
	p.on("main")
	p.sealed("alice", doc("2=main"))
	p.git("cherry-pick", "-n", "work")
	p.git("rm", "-q", "-f", "src/n")
	r := p.look(p.made("a part"), "HEAD", false)
	if r.Verdict != verdict.Derived || r.Coverage != "patch" || r.Mode != prov.Witness || len(r.Covers) != 1 || len(r.Covers[0].Left) != 1 || r.Covers[0].Took != 1 {
		t.Errorf("%+v", r)
	}
}
