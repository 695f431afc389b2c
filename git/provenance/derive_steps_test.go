package provenance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// steps is how much of the history and of seals was looked at for a revision, and what is said of its tip.
func (p *press) steps(rev string) (int, verdict.Verdict) {
	p.t.Helper()
	s := p.session()
	span, err := provenance.ParseSpan(s, rev)
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	rep, err := provenance.Verify(context.Background(), s, span, provenance.Options{Pin: p.pin, Now: p.clock}.CountingSteps(func(steps int) { n = steps }))
	if err != nil {
		p.t.Fatal(err)
	}
	var last verdict.Verdict
	for r, err := range rep.Results {
		if err != nil {
			p.t.Fatal(err)
		}
		if r.Commit == span.Tips[0] {
			last = r.Verdict
		}
	}
	return n, last
}

// vouches gives somebody the right to vouch, on these refs and paths.
func (p *press) vouches(who, scoped string) {
	p.t.Helper()
	p.grant("alice", who, func(g *capability.Grant) { g.Action, g.Scope = capability.Vouch, scope(p.t, scoped) })
}

const (
	anywhere  = `{"version":1,"paths":["src/**"]}`
	elsewhere = `{"version":1,"paths":["src/**"],"refs":["refs/heads/agent/*"]}`
)

// web is seals of merges that never were, by which each of some contents of a path becomes each other one.
func (p *press) web(who string, blobs []string) {
	p.t.Helper()
	var list []provenance.Claim
	for i := range blobs {
		var parents []oid.ID
		var changes [][]prov.Change
		for j := range blobs {
			if i != j {
				parents = append(parents, p.away(1000*i+j+10000))
				changes = append(changes, []prov.Change{claim("src/a", blobs[j], blobs[i])})
			}
		}
		list = append(list, provenance.Claim{Commit: git.Commit{ID: p.away(i), Tree: p.tree(), Parents: parents}, Changes: changes})
	}
	p.claims(who, "refs/heads/main", list...)
}

// through is a branch of commits that nobody sealed, which goes through contents of a path.
func (p *press) through(name string, n int, blobs []string) {
	p.t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "commit refs/heads/%s\n%s", name, by)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", p.git("rev-parse", "HEAD"))
		}
		fmt.Fprintf(&b, "M 100644 %s src/a\n\n", blobs[i%len(blobs)])
	}
	p.gitIn(b.String(), "fast-import", "--quiet")
}

// Seals of who may not bring a path here are looked at once, however many commits there are; those of who may for each, and each look is counted: a run ends.
func TestDerivedSteps(t *testing.T) {
	const n, commits = 30, 40
	edges := n * (n - 1)
	for _, c := range []struct {
		scope       string
		least, most int
	}{{elsewhere, 0, 4 * edges}, {anywhere, edges * commits, provenance.StepsOfRun}} {
		p := newPress(t)
		p.vouches("mallory", c.scope)
		blobs := p.blobs(n)
		p.through("many", commits, blobs)
		before, _ := p.steps("many")
		p.web("mallory", blobs)
		after, _ := p.steps("many")
		if got := after - before; got < c.least || got > c.most {
			t.Errorf("%s: %d steps more for %d edges and %d commits, want %d to %d", c.scope, got, edges, commits, c.least, c.most)
		}
	}
}

// Many seals, also of merges of more than two, which bring nothing, name as their parent a commit that never was, and many others lie about that one: each look at one of them is counted, so that there is an end to it, and of what was
// not looked at nothing is covered.
func TestDerivedStepsOfLies(t *testing.T) {
	for _, c := range []struct {
		seals, parents, lies int
		want                 verdict.Verdict
	}{{4, 1, 10, verdict.Derived}, {40, 10, 100, verdict.Unsealed}} {
		p := newPress(t)
		p.vouches("mallory", anywhere)
		p.vouches("helper", `{"version":1,"paths":["docs/**"]}`)
		was, docs := p.git("rev-parse", "HEAD:src/a"), p.git("rev-parse", "HEAD:docs/d")
		at, of := p.head("base"), p.away(5000000)
		var lies, list []provenance.Claim
		for range c.lies {
			lies = append(lies, provenance.Claim{Commit: git.Commit{ID: of, Tree: p.tree(), Parents: []oid.ID{at}}, Changes: [][]prov.Change{{claim("docs/d", docs, was)}}})
		}
		p.put("src/a=end")
		before, _ := p.steps("HEAD")
		p.claims("helper", "refs/heads/main", lies...)
		now := p.git("rev-parse", "HEAD:src/a")
		blobs := append([]string{was}, p.blobs(c.parents)...)
		for i := range c.seals {
			one := provenance.Claim{Commit: git.Commit{ID: p.away(i), Tree: p.tree()}}
			for j := range c.parents {
				one.Commit.Parents = append(one.Commit.Parents, of)
				one.Changes = append(one.Changes, []prov.Change{claim("src/a", blobs[j], now)})
			}
			list = append(list, one)
		}
		p.claims("mallory", "refs/heads/main", list...)
		after, got := p.steps("HEAD")
		looks := c.seals * (c.parents + c.lies)
		if steps := after - before; got != c.want || steps < looks || steps > 8*looks+100*c.seals {
			t.Errorf("%+v: %s, %d steps for %d looks", c, got, steps, looks)
		}
	}
}
