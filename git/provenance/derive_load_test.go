package provenance_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// TestDerivedLoad prints what a long history costs: LOAD=1 go test -v -run TestDerivedLoad ./git/provenance
func TestDerivedLoad(t *testing.T) {
	if os.Getenv("LOAD") == "" {
		t.Skip("by hand")
	}
	for name, load := range map[string]func(*press){"flips": flipped, "each": each, "files": files, "steps": steps} {
		t.Run(name, func(t *testing.T) { load(newPress(t)) })
	}
}

// timed verifies a range, and prints how long that took, and what it found.
func (p *press) timed(rev string) {
	p.t.Helper()
	start := time.Now()
	res, _, err := p.verify(false, rev)
	if err != nil {
		p.t.Fatal(err)
	}
	n := map[verdict.Verdict]int{}
	for _, r := range res {
		n[r.Verdict]++
	}
	p.t.Log(rev, time.Since(start), n)
}

// flipped is a history of 20,000 commits, and one of 5,000 merges, that go back and forth between what coder sealed and took back.
func flipped(p *press) {
	p.branch("work", "HEAD")
	p.sealed("coder", "src/a=1")
	p.sealed("coder", "src/a=2")
	p.sealed("coder", "src/a=1")
	p.on("main")
	head := p.git("rev-parse", "HEAD")
	var b strings.Builder
	who := "committer A <alice@example.org> 1772366400 +0000\n"
	for i := range 20000 {
		fmt.Fprintf(&b, "commit refs/heads/long\n%sdata 1\nx\n", who)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", head)
		}
		fmt.Fprintf(&b, "M 100644 inline src/a\ndata 2\n%d\n\n", 1+i%2)
	}
	p.gitIn(b.String(), "fast-import", "--quiet")
	p.timed("long")
	b.Reset()
	for i := range 5000 {
		fmt.Fprintf(&b, "commit refs/heads/side\nmark :%d\n%sdata 1\ns\n", 2*i+1, who)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", head)
		} else {
			fmt.Fprintf(&b, "from :%d\n", 2*i)
		}
		fmt.Fprintf(&b, "M 100644 inline src/a\ndata 2\n%d\n\n", 1+i%2)
		fmt.Fprintf(&b, "commit refs/heads/merged\nmark :%d\n%sdata 1\nm\n", 2*i+2, who)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", head)
		}
		fmt.Fprintf(&b, "merge :%d\nM 100644 inline src/a\ndata 2\n%d\n\n", 2*i+1, 1+i%2)
	}
	p.gitIn(b.String(), "fast-import", "--quiet", "--force")
	p.timed("merged")
}

const by = "committer A <alice@example.org> 1772366400 +0000\ndata 1\nx\n"

// each is 1,000 commits, each derived of one of coder's that changed the same two files.
func each(p *press) {
	p.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch })
	at, was := p.head("base"), p.git("rev-parse", "HEAD:src/a")
	one := p.gitIn("1\n", "hash-object", "-w", "--stdin")
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "commit refs/heads/many\n%s", by)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", at)
		}
		fmt.Fprintf(&b, "M 100644 inline src/a\ndata 5\n%04d\nM 100644 %s src/f%d\n\n", i, one, i)
	}
	p.gitIn(b.String(), "fast-import", "--quiet")
	commits := strings.Fields(p.git("rev-list", "--reverse", at.String()+"..many"))
	var list []provenance.Claim
	for i, id := range commits {
		now := p.git("rev-parse", id+":src/a")
		list = append(list, provenance.Claim{
			Commit:  git.Commit{ID: p.away(i), Tree: p.tree(), Parents: []oid.ID{at}},
			Changes: [][]prov.Change{{claim("src/a", was, now), added(fmt.Sprintf("src/f%d", i), one)}},
		})
		at, was = p.parse(id), now
	}
	p.claims("coder", "refs/heads/main", list...)
	p.timed("many")
	p.timed("many~1..many")
}

// files is a squash of 5,000 files, each from a commit of coder's.
func files(p *press) {
	p.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch })
	at := p.head("base")
	var list []provenance.Claim
	var b strings.Builder
	fmt.Fprintf(&b, "commit refs/heads/wide\n%sfrom %s\n", by, at)
	for i, blob := range p.blobs(5000) {
		path := fmt.Sprintf("src/d%d/f%d", i%100, i)
		c := git.Commit{ID: p.away(i), Tree: p.tree(), Parents: []oid.ID{at}}
		list, at = append(list, provenance.Claim{Commit: c, Changes: [][]prov.Change{{added(path, blob)}}}), c.ID
		fmt.Fprintf(&b, "M 100644 %s %s\n", blob, path)
	}
	p.gitIn(b.String(), "fast-import", "--quiet")
	p.claims("coder", "refs/heads/main", list...)
	p.timed("wide")
}

// steps is a squash of 10,000 commits of coder's that change one file.
func steps(p *press) {
	p.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch })
	at, was := p.head("base"), p.git("rev-parse", "HEAD:src/a")
	var list []provenance.Claim
	for i, blob := range p.blobs(10000) {
		c := git.Commit{ID: p.away(i), Tree: p.tree(), Parents: []oid.ID{at}}
		list = append(list, provenance.Claim{Commit: c, Changes: [][]prov.Change{{claim("src/a", was, blob)}}})
		at, was = c.ID, blob
	}
	p.claims("coder", "refs/heads/main", list...)
	p.gitIn(fmt.Sprintf("commit refs/heads/one\n%sfrom %s\nM 100644 %s src/a\n\n", by, p.git("rev-parse", "HEAD"), was), "fast-import", "--quiet")
	p.timed("one")
}

// blobs are as many different contents.
func (p *press) blobs(n int) []string {
	p.t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "blob\nmark :%d\ndata 6\n%05d\n\n", i+1, i)
	}
	for i := range n {
		fmt.Fprintf(&b, "get-mark :%d\n", i+1)
	}
	return strings.Fields(p.gitIn(b.String(), "fast-import", "--quiet"))
}

// away is a name that no commit has.
func (p *press) away(i int) oid.ID { p.t.Helper(); return p.parse(fmt.Sprintf("%040x", i+0x1000000)) }

func added(path, blob string) prov.Change {
	return prov.Change{Path: path, Status: "A", New: blob, NewMode: "100644"}
}
